package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// recipients accept everything and enter when it came.
type recipients struct {
	run     *run
	buffers sync.Pool
}

// serve runs a recipient that is called; the address is given to the network.
func (r *recipients) serve(tb testing.TB) string {
	s := httptest.NewServer(http.HandlerFunc(r.take))
	tb.Cleanup(s.Close)
	return s.URL + "/in"
}

var disclosureKey = []byte(`{"disclosure_id":"`)

func (r *recipients) take(w http.ResponseWriter, req *http.Request) {
	b, _ := r.buffers.Get().(*bytes.Buffer)
	if b == nil {
		b = &bytes.Buffer{}
	}
	defer r.buffers.Put(b)
	b.Reset()
	if _, err := io.Copy(b, req.Body); err != nil {
		return
	}
	now, n := time.Now(), 0
	for rest := b.Bytes(); ; n++ {
		at := bytes.Index(rest, disclosureKey)
		if at < 0 {
			break
		}
		rest = rest[at+len(disclosureKey):]
		const record = 36 + len(`","record_id":"`)
		if len(rest) < record+36 {
			break
		}
		if id, err := exchange.ParseRecordID(string(rest[record : record+36])); err == nil {
			r.run.watch.arrived(id, now, called)
		}
	}
	r.run.received.Add(int64(n))
	w.WriteHeader(http.StatusNoContent)
}

// fetch empties a mailbox until ctx ends.
func (r *recipients) fetch(ctx context.Context, c *client.Client) error {
	for ctx.Err() == nil {
		page, err := c.Fetch(ctx, 500)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			select {
			case <-time.After(50 * time.Millisecond): // a system that looks in regularly
			case <-ctx.Done():
			}
			continue
		}
		now := time.Now()
		acks := make([]client.ItemAcknowledgement, len(page.Items))
		for i := range page.Items {
			acks[i].Disclosure = page.Items[i].Disclosure
			r.run.watch.arrived(page.Items[i].Record, now, fetched)
		}
		// What was fetched is acknowledged even when the run is over.
		if _, err := c.Acknowledge(context.WithoutCancel(ctx), acks...); err != nil {
			return err
		}
		r.run.received.Add(int64(len(acks)))
	}
	return nil
}
