package ledger

import (
	"context"
	"fmt"
	"time"

	"raccordo/hub/store"
)

// Bounds of the expiry check (protocol.md 4.3).
const (
	expiryStep  = 10 * time.Minute // ledger time that may pass unchecked
	expiryLeast = 100              // so many consents at least
	expiryShare = 20               // and more than one in so many
)

// expiryGuard notices when a step of the clock would end many consents at
// once. Only the committer uses it.
type expiryGuard struct {
	checked time.Time // zero before the first check
}

// check looks at what expires between the last check, at first the last entry,
// and now; too much of it makes the clock distrusted until an operator
// confirms it. Once confirmed the same step is not asked about again.
func (g *expiryGuard) check(ctx context.Context, views Views, clock *clockGuard) error {
	now := clock.clock.Now()
	if now.Before(g.checked) {
		g.checked = now // set back: what lies between is looked at again
	}
	if !g.checked.IsZero() && now.Sub(g.checked) <= expiryStep {
		return nil
	}
	var expiring, all int
	err := views.View(ctx, func(tx store.ReadTx) (err error) {
		from := g.checked.UnixMilli()
		if g.checked.IsZero() {
			head, err := tx.Head()
			if err != nil {
				return err
			}
			from = head.Time
		}
		if to := now.UnixMilli(); to > from {
			expiring, all, err = tx.ExpiringConsents(from, to)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("count expiring consents: %w", err)
	}
	g.checked = now
	if expiring >= expiryLeast && expiring*expiryShare > all {
		clock.distrust(fmt.Sprintf("%d of %d consents would expire at once", expiring, all))
	}
	return nil
}
