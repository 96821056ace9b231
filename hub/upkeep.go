package hub

import (
	"context"
	"fmt"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/store"
	"raccordo/hub/stream"
	"raccordo/hub/stream/feed"
)

const (
	upkeepFirst = time.Minute // after a start
	upkeepEvery = 10 * time.Minute
	upkeepTime  = time.Minute // one round may take

	forgetAtOnce = 5000 // token ids a transaction

	// voucherGrace is how long an earlier voucher key is kept: vouchers live ten
	// minutes, and clocks may differ by one.
	voucherGrace = time.Hour

	// unplaced is how far back what is sealed today may still be on its way into
	// the stream or the store, and the clock be set back unnoticed.
	unplaced = 2 * time.Hour
)

// upkeep forgets what is over: used token ids, earlier voucher keys, parts of
// the stream that every recipient has passed and no key answers from any more,
// and the data keys of days nothing is left of.
func (h *Hub) upkeep() {
	h.background("upkeep", upkeepFirst, upkeepEvery, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, upkeepTime)
		defer cancel()
		if err := h.tidy(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("upkeep is held up", "error", err.Error())
		}
	})
}

// tidy is one round. Nothing is given up while something is wrong with the hub,
// above all with its clock.
func (h *Hub) tidy(ctx context.Context) error {
	h.tidying.Lock()
	defer h.tidying.Unlock()
	if h.Ready(ctx) != nil {
		return nil
	}
	now := h.opt.Clock.Now()
	if err := h.forgetTokens(ctx, now); err != nil {
		return fmt.Errorf("forget used token ids: %w", err)
	}
	if err := h.retireVouchers(); err != nil {
		return fmt.Errorf("retire voucher keys: %w", err)
	}
	needed := map[exchange.Class]stream.Offset{}
	for _, class := range classes {
		before, err := h.needed(ctx, class, now)
		if err != nil {
			return fmt.Errorf("what the stream still needs: %w", err)
		}
		needed[class] = before
		if before > 1 {
			if err := h.stream.Trim(class.String(), before); err != nil {
				return fmt.Errorf("clean up the stream: %w", err)
			}
		}
	}
	return h.destroyKeys(ctx, now, needed)
}

func (h *Hub) forgetTokens(ctx context.Context, now time.Time) error {
	for {
		var n int
		err := h.store.Side(ctx, func(tx store.SideTx) (err error) {
			n, err = tx.ForgetUsed(now.UnixMilli(), forgetAtOnce)
			return err
		})
		if err != nil || n < forgetAtOnce {
			return err
		}
	}
}

// retireVouchers removes voucher keys that were rotated away so long ago that
// no voucher under them is good.
func (h *Hub) retireVouchers() error {
	list := h.keys.VoucherKeys()
	now, gone := h.opt.Clock.Monotonic(), false
	for _, k := range list[1:] { // the first one is current
		since, known := h.retired[k.ID]
		switch {
		case !known:
			h.retired[k.ID] = now
		case now-since >= voucherGrace:
			if err := h.keys.RetireVoucher(k.ID); err != nil {
				return err
			}
			delete(h.retired, k.ID)
			gone = true
		}
	}
	if !gone || h.voucherSet == nil {
		return nil
	}
	return h.useVoucherKeys()
}

// needed is the lowest offset of a class that is still needed: by a recipient's
// cursor, by the index, or by a key that still answers.
func (h *Hub) needed(ctx context.Context, class exchange.Class, now time.Time) (stream.Offset, error) {
	lowest := h.deliverer.Lowest(class)
	err := h.store.View(ctx, func(tx store.ReadTx) error {
		oldest, found, err := tx.OldestKey(class, now.Add(-h.cfg.Intake.KeepKeys).UnixMilli())
		if err != nil {
			return err
		}
		if found {
			lowest = min(lowest, oldest)
		}
		indexed, _, err := tx.Progress("index/" + class.String())
		lowest = min(lowest, indexed)
		return err
	})
	return stream.Offset(max(lowest, 0)), err
}

// destroyKeys destroys the data keys of days from which nothing sealed is
// needed any more (protocol.md 8.3). What was sealed is dated by its reception,
// and days are kept that something on its way may have been sealed in.
func (h *Hub) destroyKeys(ctx context.Context, now time.Time, needed map[exchange.Class]stream.Offset) error {
	oldest := map[keys.Place]int64{keys.PlaceStream: now.UnixMilli(), keys.PlaceWaiting: now.UnixMilli(), keys.PlaceParked: now.UnixMilli()}
	err := h.store.View(ctx, func(tx store.ReadTx) error {
		for place, read := range map[keys.Place]func() (int64, bool, error){
			keys.PlaceWaiting: tx.OldestWaiting, keys.PlaceParked: tx.OldestParked} {
			at, found, err := read()
			if err != nil {
				return err
			}
			if found {
				oldest[place] = min(oldest[place], at)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("oldest of what is set aside: %w", err)
	}
	for class, from := range needed {
		at, found, err := feed.ReceivedAt(ctx, h.stream, class, from)
		if err != nil {
			return fmt.Errorf("oldest frame that is needed: %w", err)
		}
		if found {
			oldest[keys.PlaceStream] = min(oldest[keys.PlaceStream], at)
		}
	}
	for place, at := range oldest {
		if err := h.keys.DestroyBefore(place, keys.DayOf(time.UnixMilli(at).Add(-unplaced))); err != nil {
			return fmt.Errorf("destroy data keys of %s: %w", place, err)
		}
	}
	return nil
}
