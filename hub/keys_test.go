package hub_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
	"raccordo/hub/keys"
)

func rotate(h *hubtest.Hub, what string) control.Entry {
	return hubtest.Call[control.Entry](h, "keys/rotate", control.RotateRequest{Keys: what})
}

func signers(t *testing.T, h *hubtest.Hub) []string {
	t.Helper()
	return hubtest.Call[control.Checkpoint](h, "ledger/checkpoint", control.Nothing{}).Keys
}

// A signing key is announced in the ledger before it signs, and the ledger
// verifies from the first key alone, over every rotation.
func TestRotateSigningKey(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	first := signers(t, h)
	require.Len(t, first, 1)
	for n := range 3 {
		h.Push(livorno, "service_request", request(n, "IGIENE", "LI-1"))
		h.AwaitFlow("livorno_provider", exchange.StateDelivered, int64(n)+1)
		e := rotate(h, "signing")
		require.Equal(t, exchange.KindSigningKey, kinds(t, h)[e.Seq])
	}
	list := signers(t, h)
	require.Len(t, list, 4)
	require.Equal(t, first[0], list[3], "newest first")
	verifies(t, h)
	h.Restart()
	require.Equal(t, list, signers(t, h))
	verifies(t, h)
}

// A stop between the making of a key, its announcement and its first use is
// made good at the next start.
func TestRotationThatWasCutShort(t *testing.T) {
	t.Parallel()
	for name, announced := range map[string]bool{"made": false, "made and announced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hubtest.Start(t)
			r, err := h.Keyring().RotateSigning()
			require.NoError(t, err)
			if announced {
				require.NoError(t, h.AnnounceOnly(t.Context(), r))
			}
			require.Len(t, signers(t, h), 1, "it does not count yet")
			h.Restart()
			list := signers(t, h)
			require.Len(t, list, 2)
			require.Equal(t, []string{r.New, r.Old}, list)
			require.Contains(t, kinds(t, h), exchange.KindSigningKey)
			entries := h.Status().Entries
			verifies(t, h)
			h.Restart()
			require.Equal(t, entries, h.Status().Entries, "and only once")
		})
	}
}

// A person known under an old digest key is the same person under a new one,
// and after one look is known without the old.
func TestRotateDigestKey(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	seen, other := control.Person{System: "LOCAL", Value: "PT-1", Body: "co_so"}, control.Person{System: "LOCAL", Value: "PT-2", Body: "co_so"}
	for n, p := range []control.Person{seen, other} {
		h.Push(pistoia, "service_request", accompaniment(n, "SPORTELLO", p.Value))
	}
	h.AwaitFlow(health, exchange.StateWaiting, 2)
	rotate(h, "digest")
	require.Len(t, h.Keyring().Digests([]byte("x")), 2, "look-ups try both")
	consent := give(h, seen)
	fetched(t, h, salute, 1) // it was the same person that waited
	require.NoError(t, h.Keyring().RetireDigest(1))
	shown := hubtest.Call[control.Consents](h, "consent/show", control.ConsentQuery{Person: seen})
	require.Len(t, shown.Consents, 1)
	require.Equal(t, consent.ID, shown.Consents[0].ID)
	h.AwaitFlow(health, exchange.StateWaiting, 1)
}

func keyOf(t *testing.T, v client.Voucher) string {
	t.Helper()
	head, _, _ := strings.Cut(v.Token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	require.NoError(t, err)
	var header struct{ Kid string }
	require.NoError(t, json.Unmarshal(b, &header))
	return header.Kid
}

func catalogue(t *testing.T, h *hubtest.Hub, voucher string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+"/v1/catalog", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+voucher)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// Vouchers under an earlier key are good until they expire; then the key goes.
func TestRotateVoucherKey(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock))
	old, err := h.As(livorno).Voucher(t.Context())
	require.NoError(t, err)
	rotate(h, "voucher")
	require.Equal(t, http.StatusOK, catalogue(t, h, old.Token))
	now, err := h.As("arti_livorno").Voucher(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, keyOf(t, old), keyOf(t, now))
	require.Equal(t, http.StatusOK, catalogue(t, h, now.Token))
	h.Restart()
	require.Len(t, h.Keyring().VoucherKeys(), 2, "after a restart too")
	require.NoError(t, h.Tidy(t.Context()))
	require.Len(t, h.Keyring().VoucherKeys(), 2)
	clock.pass(30 * time.Minute)
	require.Equal(t, http.StatusUnauthorized, catalogue(t, h, old.Token))
	require.NoError(t, h.Tidy(t.Context()))
	require.Len(t, h.Keyring().VoucherKeys(), 2)
	clock.pass(31 * time.Minute)
	require.NoError(t, h.Tidy(t.Context()))
	list := h.Keyring().VoucherKeys()
	require.Len(t, list, 1)
	require.Equal(t, keyOf(t, now), list[0].ID)
	kid, err := keys.Thumbprint(list[0].Public.(*rsa.PublicKey))
	require.NoError(t, err)
	require.Equal(t, list[0].ID, kid)
	again, err := h.As(livorno).Voucher(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, catalogue(t, h, again.Token))
}

func TestUnknownKeysAreNotRotated(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	_, err := control.Call[control.Entry](t.Context(), h.Control, "keys/rotate", control.RotateRequest{Keys: "sealing"})
	require.Equal(t, exchange.CodeInvalid, exchange.AsError(err).Code)
}
