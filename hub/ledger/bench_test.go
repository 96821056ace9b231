package ledger

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// parcelOf makes 500 records of persons, every one of whom has a consent.
func parcelOf(round int) ([]exchange.Row, []exchange.Row, []store.ClaimRow, []exchange.SubjectID) {
	const n = 500
	rows, ends, claims, subjects := make([]exchange.Row, n), make([]exchange.Row, n), make([]store.ClaimRow, n), make([]exchange.SubjectID, n)
	for i := range n {
		binary.BigEndian.PutUint32(subjects[i][:], uint32(i+1)*2654435761)
		r := testRow(1)
		binary.BigEndian.PutUint64(r.Record[8:], uint64(round*n+i))
		r.Subject, r.Basis, r.Categories = subjects[i], uint64(i+1), exchange.NewCategorySet(1, 2, 3)
		rows[i] = r
		r.State, r.Reason, r.Mark = exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes
		ends[i] = r
		claims[i] = store.ClaimRow{Record: r.Record, Flow: "flow_a", Subjects: subjects[i : i+1], Basis: []uint64{r.Basis}, Attempt: 1}
	}
	return rows, ends, claims, subjects
}

// BenchmarkClaimSettle claims and settles parcels of 500 through the writer on
// SQLite, with facts read inside: rows/s counts the rows of both entries.
func BenchmarkClaimSettle(b *testing.B) {
	for _, recipients := range []int{1, 4} {
		b.Run(fmt.Sprintf("recipients=%d", recipients), func(b *testing.B) {
			r := newRig(b)
			r.consentAll()
			var wg sync.WaitGroup
			each := (b.N + recipients - 1) / recipients
			b.ResetTimer()
			for k := range recipients {
				wg.Go(func() { r.cycles(k, each) })
			}
			wg.Wait()
			b.ReportMetric(float64(recipients*each)*1000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// consentAll records the consents of everyone in the parcels.
func (r *rig) consentAll() {
	_, _, _, subjects := parcelOf(0)
	_, err := r.w.Submit(r.t.Context(), &Item{Decide: func(s *State) (*Change, error) {
		c := stop("consents")
		for _, who := range subjects {
			row := consentChange(s, who, consent.StatusGiven, 0).Consents[0]
			row.Consent = exchange.ConsentID(who)
			c.Consents = append(c.Consents, row)
		}
		return c, nil
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) cycles(k, n int) {
	system := exchange.SystemID(fmt.Sprintf("system_%d", k))
	key := store.CursorKey{System: system, LaneKey: store.LaneKey{Class: exchange.ClassPrompt, Lane: uint16(k)}}
	at := exchange.Start()
	for i := range n {
		rows, ends, open, subjects := parcelOf(i)
		to := exchange.Position{Offset: int64(i), Passed: 500}
		lanes := []exchange.LaneRange{{Class: key.Class, Lane: key.Lane, From: at, To: to}}
		needs := Needs{Cursors: []store.CursorKey{key}, Lanes: []store.LaneKey{key.LaneKey}}
		claim := &Item{Needs: needs, Decide: func(s *State) (*Change, error) {
			for _, who := range subjects { // what the gate asks
				if s.Facts.Consent(who, scope).Reason != exchange.ReasonPermitted {
					return nil, errModel
				}
			}
			return &Change{Draft: &Draft{Kind: exchange.KindClaim, System: system, Lanes: lanes, Rows: rows},
				OpenClaims: []store.Claim{{Seq: s.Seq, System: system, Lanes: lanes, Rows: open}}}, nil
		}}
		claim.Needs.Subjects = subjects
		res, err := r.w.Submit(r.t.Context(), claim)
		if err != nil {
			r.t.Error(err)
			return
		}
		settle := &Item{Needs: needs, Decide: func(s *State) (*Change, error) {
			return &Change{Draft: &Draft{Kind: exchange.KindSettle, System: system, Refers: res.Seq, Lanes: lanes, Rows: ends}, CloseClaims: []uint64{res.Seq},
				Cursors: []store.CursorMove{{Key: key, Expect: at, To: store.Cursor{Position: to}}}}, nil
		}}
		settle.Needs.Claims = []uint64{res.Seq}
		if _, err := r.w.Submit(r.t.Context(), settle); err != nil {
			r.t.Error(err)
			return
		}
		at = to
	}
}

// BenchmarkFollow follows entries of 500 rows.
func BenchmarkFollow(b *testing.B) {
	r := newRig(b)
	n := uint32(0)
	for range b.N {
		rows := make([]exchange.Row, 500)
		for i := range rows {
			rows[i] = rowOf(n, exchange.StateClaimed, exchange.PartPrincipal)
			n++
		}
		r.rows(rows...)
	}
	f := NewFollower(r.store, nil)
	b.ResetTimer()
	if err := f.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer f.Stop()
	if err := f.WaitFor(b.Context(), uint64(b.N-1)); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkAppend is the tree and the encodings without a store.
func BenchmarkAppend(b *testing.B) {
	rows, _, _, _ := parcelOf(0)
	t, src := newTree(), &counting{}
	for n := range b.N {
		e := exchange.Entry{Seq: uint64(n), Kind: exchange.KindClaim, Rows: rows}
		if _, err := t.append(src, int64(n), e.AppendLeaf(nil)); err != nil {
			b.Fatal(err)
		}
		t.settle()
	}
}
