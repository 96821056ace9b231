package embedded

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// FuzzBody decodes any bytes as the body of a record, as if the CRC had been
// right: what is decoded is encoded to the same messages again.
func FuzzBody(f *testing.F) {
	b, err := appendMessage(nil, message.NewMessage("u", []byte("payload")), 3)
	require.NoError(f, err)
	m := message.NewMessage("v", nil)
	m.Metadata.Set("lane", "1")
	b2, err := appendMessage(b, m, 1)
	require.NoError(f, err)
	f.Add(b, 1)
	f.Add(b2, 2)
	f.Add([]byte{12, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0}, 1)
	f.Fuzz(func(t *testing.T, body []byte, count int) {
		counts := make([]int64, 4)
		if countLanes(body, count, counts) != nil {
			return
		}
		for range count {
			one, rest, lane, err := cutMessage(body)
			require.NoError(t, err)
			if m, err := decodeMessage(one); err == nil {
				again, err := appendMessage(nil, m, lane)
				require.NoError(t, err)
				back, err := decodeMessage(again)
				require.NoError(t, err)
				require.True(t, m.Equals(back))
			}
			body = rest
		}
		require.Empty(t, body)
	})
}

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := message.NewMessage(rapid.String().Draw(t, "uuid"), rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		m.Metadata = rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")
		lane := rapid.IntRange(0, maxLanes-1).Draw(t, "lane")
		b, err := appendMessage([]byte("before"), m, lane)
		if err != nil {
			t.Fatal(err)
		}
		one, rest, got, err := cutMessage(append(b[6:], "behind"...))
		if err != nil || got != lane || string(rest) != "behind" {
			t.Fatalf("cut: %v, lane %d, rest of %d bytes", err, got, len(rest))
		}
		back, err := decodeMessage(one)
		if err != nil || !m.Equals(back) {
			t.Fatalf("decode: %v", err)
		}
	})
}

func TestNamesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOfN(rapid.Byte(), 1, maxName).Draw(t, "name"))
		file, err := encodeName(name)
		if err != nil || len(file) > 250 {
			t.Fatalf("%d bytes: %v", len(file), err)
		}
		back, err := decodeName(file)
		if err != nil || back != name {
			t.Fatalf("came back as %q: %v", back, err)
		}
	})
}
