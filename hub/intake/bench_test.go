package intake_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
)

// bodies are requests of persons who come again and again, as most do.
func bodies(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = request(fmt.Sprint(i), fmt.Sprintf("SPORTELLO LI-%d", i%5000), fmt.Sprintf("SPORTELLO LK-%d", i%5000))
	}
	return out
}

// BenchmarkSingle pushes one record a request from 64 clients, everything on:
// gate, schema, mapping, routing, persons, seals, stream, index.
func BenchmarkSingle(b *testing.B) {
	f := newFixture(b)
	bs := bodies(5000)
	if _, err := f.pushLines("warm", bs...); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			if _, err := f.push(fmt.Sprint("k", i), bs[i%5000]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkNDJSON pushes 500 records a request from 4 clients.
func BenchmarkNDJSON(b *testing.B) {
	f := newFixture(b)
	bs := bodies(5000)
	if _, err := f.pushLines("warm", bs...); err != nil {
		b.Fatal(err)
	}
	payload := exchange.NewPayload(bytes.Join(bs[:500], []byte("\n")))
	var n atomic.Int64
	b.SetParallelism(2)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ack, err := f.intake.Push(context.Background(), intake.Push{System: desk, Type: requests, Key: fmt.Sprint("k", n.Add(1)), MediaType: intake.MediaNDJSON, Body: payload})
			if err != nil {
				b.Fatal(err)
			}
			if accepted, _ := ack.Count(); accepted != 500 {
				b.Fatal(accepted)
			}
		}
	})
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
