package verify_test

import (
	"encoding/binary"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger/verify"
)

// BenchmarkVerify claims and settles parcels of 500 that rest on consents.
func BenchmarkVerify(b *testing.B) {
	k := began(b)
	var given [100]uint64
	for i := range given {
		given[i], _ = k.give(person(byte(i + 1)))
	}
	n, at := uint32(0), int64(-1)
	for range 40 {
		rows := make([]exchange.Row, 500)
		ends := make([]exchange.Row, 500)
		for i := range rows {
			rows[i] = k.row(health, person(byte(i%100+1)), basis(given[i%100]))
			n++
			binary.BigEndian.PutUint32(rows[i].Record[4:], n)
			ends[i] = with(rows[i], delivered)
		}
		claim := k.claim(clinic, lanes(at, at+1), rows...)
		k.settle(clinic, claim, lanes(at, at+1), ends...)
		at++
	}
	files := k.export()
	b.ResetTimer()
	var r *verify.Report
	for b.Loop() {
		if r = check(b, files, k.keys[0].public, nil); !r.OK() {
			b.Fatal(r.Findings[0])
		}
	}
	b.ReportMetric(float64(r.Rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
