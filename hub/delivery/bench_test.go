package delivery

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store/sqlite"
	"raccordo/schemas"
)

// null takes everything.
type null struct{ n atomic.Int64 }

func (s *null) Send(_ context.Context, p connectors.Parcel) (connectors.Result, error) {
	s.n.Add(int64(len(p.Items)))
	return connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted}, nil
}

func (*null) Close(context.Context) error { return nil }

// BenchmarkDeliver is the way of a record from the stream through gate, claim,
// send and settle, with real store and ledger, and a recipient that costs
// nothing: as parts of one record each, with parcels of 500 and of 1.
func BenchmarkDeliver(b *testing.B) {
	for _, records := range []int{500, 1} {
		b.Run(fmt.Sprintf("parcel=%d", records), func(b *testing.B) {
			st, err := sqlite.Open(context.Background(), sqlite.Options{Dir: b.TempDir(), Rand: rand.Reader})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			clock := exchange.NewSystemClock()
			w := ledger.NewWriter(ledger.Options{Store: st, Clock: clock, Rand: rand.Reader})
			w.Start()
			defer w.Stop()
			net, str, sink, sealer := newNetwork("1"), newMemStream(), &null{}, newTestSealer()
			if _, err := w.Submit(context.Background(), &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) {
				return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindAdoption, Fact: []byte("{}")}, Adopt: &net.digest}, nil
			}}); err != nil {
				b.Fatal(err)
			}
			for i := range b.N {
				benchRecord(b, st.Hub(), str, sealer, i)
			}
			d := New(Options{Plan: func() Plan { return net }, Views: st, Ledger: w, Stream: str, Sealer: sealer, Sinks: Sinks{alpha: sink, beta: sink},
				Outlets: map[exchange.SystemID]*Outlet{gamma: {}}, Clock: clock, Random: mathrand.New(mathrand.NewPCG(1, 2)), Limits: schemas.DefaultLimits(),
				ParcelRecords: records})
			b.ReportAllocs()
			b.ResetTimer()
			if err := d.Start(context.Background()); err != nil {
				b.Fatal(err)
			}
			for sink.n.Load() < int64(b.N) {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			if err := d.Stop(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func benchRecord(b *testing.B, hub exchange.HubID, s *memStream, sealer *testSealer, i int) {
	var mac [32]byte
	binary.BigEndian.PutUint64(mac[:], uint64(i)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(mac[8:], uint64(i))
	subject := exchange.SubjectID(mac[:16])
	h := &exchange.Header{Hub: hub, Frame: exchange.FrameIDFromMAC(exchange.DigestOf(mac[:])), System: producer, ReceivedAt: time.Now().UnixMilli(),
		Class: exchange.ClassPrompt, Lane: exchange.Lane(subject, 4), Part: 1, Parts: 1, Records: []exchange.RecordHeader{{
			Record: exchange.RecordIDFromMAC(exchange.DigestOf(mac[:9])), Line: 1, Type: recordType, Version: "1.0.0", Principal: subject, Flows: flows(plainFlow)}}}
	encoded, err := exchange.AppendHeader(nil, h)
	if err != nil {
		b.Fatal(err)
	}
	r := rec{ref: fmt.Sprint(i), person: "Ada", household: []string{"Bea", "Cleo"}}
	sealed, err := sealer.Seal(keys.PlaceStream, time.Now(), r.canonical(), exchange.RecordAAD(h, exchange.DigestOf(encoded), 0))
	if err != nil {
		b.Fatal(err)
	}
	s.append(exchange.ClassPrompt, h.Lane, h.Frame, exchange.AppendPart(nil, encoded, nil, [][]byte{sealed}))
}
