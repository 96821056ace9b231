package access

import (
	"errors"
	"fmt"
	"time"

	"raccordo/hub/exchange"
)

var (
	errUnavailable = errors.New("keys or store of used tokens cannot be reached")
	errReplayed    = errors.New("already used")
)

func unavailable(err error) error { return fmt.Errorf("%w: %w", errUnavailable, err) }

// refuse turns a cause into the one answer a wrong caller gets. Which check
// failed is in the cause, for logs; that an assertion was replayed may be
// said, for only the holder of its key can have made it.
func refuse(cause error) error {
	switch {
	case errors.Is(cause, errUnavailable):
		return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded,
			"callers cannot be recognised at the moment").Because(cause).After(5 * time.Second)
	case errors.Is(cause, errReplayed):
		return exchange.NewError(exchange.CodeUnauthenticated, exchange.ReasonTokenReplayed,
			"the assertion was used before").Because(cause)
	default:
		return exchange.NewError(exchange.CodeUnauthenticated, exchange.ReasonTokenInvalid,
			"the token is not valid here").Because(cause)
	}
}
