package connectortest

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Driver plays the foreign system towards an outlet under test.
type Driver struct {
	Producer exchange.BodyID // whose records are queued
	// Fetch asks, as that caller, for everything there is and has the answer
	// written to w.
	Fetch func(t *testing.T, o connectors.Outlet, caller exchange.SystemID, w http.ResponseWriter)
	// Accept tells the outlet that those items were accepted.
	Accept func(t *testing.T, o connectors.Outlet, items []connectors.Fetched)
	// Hides says that what was fetched is hidden for a lease.
	Hides bool
}

// TestOutlet holds an outlet to the contract: the fetch is the claim.
func TestOutlet(t *testing.T, k connectors.Kind, config string, d Driver) {
	t.Helper()
	open := func(t *testing.T, clock func() time.Time) (*Bench, *Claims, connectors.Outlet) {
		t.Helper()
		b := NewBench(t)
		s := b.Settings()
		s.Clock = clock
		claims := NewClaims(System, clock)
		o, err := k.OpenOutlet(Decode(t, k, config), s, claims)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for range 2 {
				if err := o.Close(context.Background()); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
		queue(t, o, claims, d.Producer, 3)
		return b, claims, o
	}
	t.Run("claimed before a byte", func(t *testing.T) {
		_, claims, o := open(t, time.Now)
		w := &watched{ResponseRecorder: httptest.NewRecorder(), t: t, claims: claims}
		d.Fetch(t, o, System, w)
		if claims.Claimed() != 1 || shown(w.Body.String()) != 3 {
			t.Errorf("%d claims, %d records shown; want 1 and 3", claims.Claimed(), shown(w.Body.String()))
		}
	})
	t.Run("no claim, no bytes", func(t *testing.T) {
		for _, code := range []exchange.Code{exchange.CodeInternal, exchange.CodeUnavailable, exchange.CodeUnknownOutcome, exchange.CodeTooMany} {
			_, claims, o := open(t, time.Now)
			claims.Fail(exchange.NewError(code, exchange.ReasonOverloaded, "").After(time.Second))
			w := httptest.NewRecorder()
			d.Fetch(t, o, System, w)
			if shown(w.Body.String()) != 0 || w.Code < 400 {
				t.Errorf("code %d: status %d, or records were shown without a claim", code, w.Code)
			}
			for _, i := range Items(3) {
				if state, _ := claims.State(i.Disclosure); state != exchange.StateWaiting {
					t.Errorf("a record is %v after a fetch that failed", state)
				}
			}
		}
	})
	t.Run("wrong caller", func(t *testing.T) {
		_, claims, o := open(t, time.Now)
		for _, caller := range []exchange.SystemID{"another_system", ""} {
			w := httptest.NewRecorder()
			d.Fetch(t, o, caller, w)
			if w.Code != http.StatusNotFound || shown(w.Body.String()) != 0 || claims.Claimed() != 0 {
				t.Errorf("caller %q: status %d, %d claims", caller, w.Code, claims.Claimed())
			}
		}
	})
	t.Run("fetched again until accepted", func(t *testing.T) {
		now := time.Now()
		_, claims, o := open(t, func() time.Time { return now })
		fetch := func() int {
			w := httptest.NewRecorder()
			d.Fetch(t, o, System, w)
			return shown(w.Body.String())
		}
		fetch()
		want := 3
		if d.Hides {
			want = 0
		}
		if n := fetch(); n != want {
			t.Errorf("the second fetch shows %d, want %d", n, want)
		}
		now = now.Add(24*time.Hour + time.Second)
		if n := fetch(); n != 3 {
			t.Errorf("after every lease the fetch shows %d, want 3", n)
		}
		items, err := claims.Fetch(context.Background(), connectors.FetchRequest{System: System, Max: 10, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if d.Hides { // the last fetch leased them; the driver only needs their names
			now = now.Add(24*time.Hour + time.Second)
			items, err = claims.Fetch(context.Background(), connectors.FetchRequest{System: System, Max: 10, MaxBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			d.Accept(t, o, items.Items[:2])
		}
		for n, i := range items.Items {
			state, _ := claims.State(i.Disclosure)
			if want := map[bool]exchange.State{true: exchange.StateDelivered, false: exchange.StateClaimed}[n < 2]; state != want {
				t.Errorf("item %d is %v, want %v", n, state, want)
			}
		}
		if n := fetch(); n != 1 {
			t.Errorf("after two acceptances the fetch shows %d, want 1", n)
		}
	})
}

// queue makes n records fetchable, named by the outlet if it names.
func queue(t *testing.T, o connectors.Outlet, claims *Claims, producer exchange.BodyID, n int) {
	t.Helper()
	for number, i := range Items(n) {
		name := ""
		if namer, ok := o.(connectors.Namer); ok {
			series, err := namer.Series(producer, i.Type, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if name, err = namer.Name(series, uint64(number+1)); err != nil {
				t.Fatal(err)
			}
		}
		claims.Queue(producer, name, i)
	}
}

// shown is how many records an answer holds, in clear or base64.
func shown(answer string) int {
	n := strings.Count(answer, canary)
	for _, i := range Items(3) {
		n += strings.Count(answer, base64.StdEncoding.EncodeToString(i.Body.Reveal()))
	}
	return n
}

// watched fails the test if anything is written before the claim.
type watched struct {
	*httptest.ResponseRecorder
	t      *testing.T
	claims *Claims
}

func (w *watched) check() {
	if w.claims.Claimed() == 0 {
		w.t.Error("the answer began before the claim")
	}
}

func (w *watched) Write(b []byte) (int, error) { w.check(); return w.ResponseRecorder.Write(b) }
func (w *watched) WriteHeader(status int)      { w.check(); w.ResponseRecorder.WriteHeader(status) }
