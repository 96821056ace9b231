package embedded_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

const benchPayload = 1500

func benchMessage(i int, payload []byte) *message.Message {
	m := message.NewMessage(strconv.Itoa(i), payload)
	m.Metadata.Set(stream.MetaLane, strconv.Itoa(i%4))
	return m
}

func benchLog(b *testing.B) *embedded.Log {
	return openAt(b, b.TempDir(), func(o *embedded.Options) { o.SegmentBytes = 64 << 20 })
}

// Durable messages of 1.5 KB, one a Publish.
func BenchmarkAppend(b *testing.B) {
	for _, producers := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(producers), func(b *testing.B) {
			l := benchLog(b)
			payload := make([]byte, benchPayload)
			var next atomic.Int64
			var all sync.WaitGroup
			b.ReportAllocs()
			b.SetBytes(benchPayload)
			b.ResetTimer()
			for range producers {
				all.Go(func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if _, err := l.Append(context.Background(), "bulk", benchMessage(int(i), payload)); err != nil {
							b.Error(err)
							return
						}
						if i%20_000 == 0 {
							if err := l.Trim("bulk", stream.Offset(i-10_000)); err != nil {
								b.Error(err)
							}
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// Reading what is there: by Read, and by a subscription that acknowledges
// each message before it gets the next.
func BenchmarkRead(b *testing.B) {
	l := benchLog(b)
	payload := make([]byte, benchPayload)
	const n = 100_000
	for i := 0; i < n; i += 100 {
		msgs := make([]*message.Message, 100)
		for k := range msgs {
			msgs[k] = benchMessage(i+k, payload)
		}
		mustAppend(b, l, "bulk", msgs...)
	}
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(benchPayload)
		for left := b.N; left > 0; left -= n {
			require.NoError(b, l.Read(context.Background(), "bulk", 0, min(left, n),
				func(stream.Offset, int, *message.Message) error { return nil }))
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	})
	for name, config := range map[string]embedded.SubscriberConfig{
		"Subscribe all lanes": {}, "Subscribe one lane": {Lanes: []int{1}}, "Subscribe group": {Group: "g"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(benchPayload)
			per := n
			if len(config.Lanes) == 1 {
				per = n / 4
			}
			for left := b.N; left > 0; left -= per {
				if config.Group != "" {
					config.Group = "g" + strconv.Itoa(left)
				}
				s := subscriber(b, l, config)
				ch, err := s.Subscribe(context.Background(), "bulk")
				require.NoError(b, err)
				for range min(left, per) {
					(<-ch).Ack()
				}
				require.NoError(b, s.Close())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
