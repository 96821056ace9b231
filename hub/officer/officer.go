package officer

import (
	"context"
	"io"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/person"
	"raccordo/hub/store"
)

// Ledger is the one write path.
type Ledger interface {
	Submit(context.Context, *ledger.Item) (ledger.Result, error)
}

// Directory finds persons.
type Directory interface {
	Resolve(context.Context, []person.Request) ([]person.Result, error)
	Lookup(context.Context, []person.Identifier) ([]exchange.SubjectID, error)
}

// Sealer seals the evidence of consents.
type Sealer interface {
	Seal(place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error)
}

// Options of a [Register]; all are required.
type Options struct {
	Network     func() *network.Network
	Store       store.Store
	Ledger      Ledger
	Directory   Directory
	Sealer      Sealer
	Clock       exchange.Clock
	Rand        io.Reader
	SendTimeout time.Duration // each send under way ends within it
	Woken       func()        // called after something may have been released
}

// Register records decisions about persons.
type Register struct{ opt Options }

// New makes a register.
func New(opt Options) *Register { return &Register{opt: opt} }

// By is who acts: a system of a body, or an operator at the hub itself.
type By struct {
	System   exchange.SystemID // "" for an operator
	Body     exchange.BodyID
	Operator bool
}

// Person names a person: the identifiers are looked up and forgotten, or a
// subject id is given (operators only).
type Person struct {
	Identifiers []person.Identifier
	Subject     exchange.SubjectID
}

// subject finds a person; make also makes one that was never seen.
func (r *Register) subject(ctx context.Context, p Person, make bool) (exchange.SubjectID, bool, error) {
	if p.Subject != (exchange.SubjectID{}) {
		return p.Subject, true, nil
	}
	if !make {
		found, err := r.opt.Directory.Lookup(ctx, p.Identifiers)
		if err != nil || len(found) == 0 {
			return exchange.SubjectID{}, false, unavailable(err)
		}
		return found[0], true, nil
	}
	res, err := r.opt.Directory.Resolve(ctx, []person.Request{{Identifiers: p.Identifiers}})
	if err != nil {
		return exchange.SubjectID{}, false, unavailable(err)
	}
	return res[0].Subject, true, nil
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "try again").Because(err).After(time.Second)
}

func notFound() error {
	return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "there is no such thing, or not for this caller")
}

// facts reads what is known of one subject and its linked ids.
func (r *Register) facts(ctx context.Context, s exchange.SubjectID) (f *ledger.Facts, err error) {
	err = r.opt.Store.View(ctx, func(tx store.ReadTx) error {
		f, err = ledger.ReadFacts(tx, []exchange.SubjectID{s}, r.opt.Clock.Now())
		return err
	})
	return f, unavailable(err)
}
