package hub_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
	"raccordo/hub/access"
	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

// certificate makes a self-signed one for the loopback, and who trusts it.
func certificate(t *testing.T) (hub.TLSConfig, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	c := hub.TLSConfig{Certificate: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	require.NoError(t, os.WriteFile(c.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool.AddCert(parsed)
	return c, pool
}

// With a certificate the whole API is https, and nothing of it is plain.
func TestAPIOverTLS(t *testing.T) {
	t.Parallel()
	files, pool := certificate(t)
	h := hubtest.Start(t, hubtest.With(func(o *hub.Options) { o.Config.TLS = files }))
	require.Equal(t, "https://"+h.Addr(), h.URL())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	resp, err := web.Get(h.URL() + "/status")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.GreaterOrEqual(t, resp.TLS.Version, uint16(tls.VersionTLS12))

	key := rsaKey(t)
	jwk, err := access.Key{KID: access.Thumbprint(&key.PublicKey), Public: &key.PublicKey}.JWK()
	require.NoError(t, err)
	hubtest.Call[control.System](h, "system/add-key", control.KeyRequest{System: livorno, Key: jwk})
	c, err := client.New(client.Options{URL: h.URL(), ClientID: deskClient, PurposeID: deskPurpose, Key: key, HTTP: web,
		Now: time.Now, Random: rand.Reader})
	require.NoError(t, err)
	_, err = c.Push(t.Context(), client.Push{Type: "service_request", Key: "k", MediaType: "application/json",
		Body: exchange.NewPayload([]byte(request(1, "IGIENE", "LI-1")))})
	require.NoError(t, err)
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)

	resp, err = http.Get("http://" + h.Addr() + "/status")
	if err == nil { // net/http answers plain text to plain HTTP
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	}
	_, err = tls.Dial("tcp", h.Addr(), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS11})
	require.Error(t, err, "too old")
}

// Where another issuer makes the vouchers the hub has no token endpoint and no
// voucher key to rotate (what else is checked: TestBadVouchers).
func TestNoTokensBesideAnotherIssuer(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	jwk, err := access.Key{KID: "issuer-1", Public: &key.PublicKey}.JWK()
	require.NoError(t, err)
	set, err := json.Marshal(map[string]any{"keys": []json.RawMessage{jwk}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, set, 0o600))
	h := hubtest.Start(t, hubtest.With(func(o *hub.Options) {
		o.Config.Vouchers = hub.VoucherConfig{Issuer: anIssuer, JWKS: file, EService: "00000000-0000-4000-8000-000000000001",
			Version: "00000000-0000-4000-8000-000000000002", Producer: "00000000-0000-4000-8000-000000000003"}
	}))
	resp, err := http.PostForm(h.TokenEndpoint(), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	_, err = control.Call[control.Entry](t.Context(), h.Control, "keys/rotate", control.RotateRequest{Keys: "voucher"})
	require.Equal(t, exchange.ReasonConfiguration, exchange.AsError(err).Reason, "%v", err)
}
