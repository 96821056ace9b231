package hub_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/deploy/networks"
	"raccordo/hub"
	"raccordo/hub/hubtest"
)

type networkRow struct {
	ID, File, Old, New, Before, After, Says string
	Repeat                                  int
}

// builtin is the built-in network as a map of files that a test may change.
func builtin(t *testing.T) fstest.MapFS {
	t.Helper()
	all, err := networks.FS()
	require.NoError(t, err)
	return copied(t, all["reticulate"])
}

func copied(t *testing.T, from fs.FS) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(from, name)
		out[name] = &fstest.MapFile{Data: b}
		return err
	}))
	return out
}

// edit replaces a text that stands in a file once.
func edit(t *testing.T, files fstest.MapFS, name, old, replacement string) {
	t.Helper()
	require.Contains(t, files, name)
	b := string(files[name].Data)
	require.Equal(t, 1, strings.Count(b, old), "%q in %s", old, name)
	files[name] = &fstest.MapFile{Data: []byte(strings.Replace(b, old, replacement, 1))}
}

// A bad network, schema, mapping or address stops the start with all faults
// listed, nothing half-loaded: no data directory is made.
func TestBadNetworks(t *testing.T) {
	b, err := os.ReadFile("testdata/bad/network.yaml")
	require.NoError(t, err)
	var file struct{ Rows []networkRow }
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	require.NoError(t, d.Decode(&file))
	kinds, err := connectors.NewSet(standard.Kinds()...)
	require.NoError(t, err)
	for _, row := range file.Rows {
		t.Run(row.ID, func(t *testing.T) {
			files := builtin(t)
			replacement := row.Before + strings.Repeat(row.New, max(row.Repeat, 1)) + row.After
			if row.Old == "" {
				files[row.File] = &fstest.MapFile{Data: []byte(replacement)}
			} else {
				edit(t, files, row.File, row.Old, replacement)
			}
			dir := filepath.Join(t.TempDir(), "data")
			c := hubtest.Config(dir)
			began := time.Now()
			h, err := hub.New(t.Context(), hub.Options{Config: c, Kinds: kinds, Network: files})
			if h != nil {
				require.NoError(t, h.Stop(context.Background()))
			}
			var faults *hub.NetworkError
			require.ErrorAs(t, err, &faults)
			require.Less(t, time.Since(began), 20*time.Second, "finding out is cheap")
			found := false
			for _, f := range faults.Faults {
				require.NotEmpty(t, f.File)
				require.NotEmpty(t, f.Message)
				found = found || f.File == row.File && strings.Contains(strings.ToLower(f.String()), strings.ToLower(row.Says))
			}
			require.True(t, found, "%v", faults.Faults[:min(len(faults.Faults), 5)])
			_, err = os.Stat(dir)
			require.True(t, errors.Is(err, fs.ErrNotExist), "nothing was made")
		})
	}
}

// resolver answers every name with one address after the other.
type resolver struct {
	addresses []netip.Addr
	asked     atomic.Int32
}

func (r *resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n := int(r.asked.Add(1)) - 1
	return r.addresses[min(n, len(r.addresses)-1):][:1], nil
}

// B62, B63: whatever a recipient's name resolves to, at first or later, and
// wherever it redirects to, nothing inside is reached that the network's files
// do not allow.
func TestNoWayInside(t *testing.T) {
	var hits atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(inside.Close)
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	require.NoError(t, err)
	for name, r := range map[string]*resolver{
		"loopback":      {addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		"loopback 6":    {addresses: []netip.Addr{netip.MustParseAddr("::1")}},
		"mapped":        {addresses: []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}},
		"link local":    {addresses: []netip.Addr{netip.MustParseAddr("169.254.169.254")}},
		"unspecified":   {addresses: []netip.Addr{netip.MustParseAddr("0.0.0.0")}},
		"private":       {addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		"at the second": {addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1")}},
	} {
		t.Run(name, func(t *testing.T) {
			var dialled atomic.Int32
			h := hubtest.Start(t, hubtest.With(func(o *hub.Options) {
				files := copied(t, o.Network)
				for f := range files {
					if strings.HasSuffix(f, "comune_livorno.yaml") {
						files[f] = rebound(t, files[f].Data, port)
					}
				}
				o.Network, o.Resolver = files, r
				real := o.Dial
				if real == nil {
					real = (&net.Dialer{Timeout: time.Second}).DialContext
				}
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					ap, err := netip.ParseAddrPort(address)
					if err == nil && ap.Addr().Is4() && ap.Addr().String() == "192.0.2.1" {
						return nil, errors.New("no route") // documentation addresses lead nowhere
					}
					if _, p, _ := net.SplitHostPort(address); p == port {
						dialled.Add(1)
					}
					return real(ctx, network, address)
				}
			}))
			h.Push("oss_livorno_desk", "service_request", record(`"servizio":"RESIDENZA"`, true))
			hubtest.Eventually(t, "it was tried twice", func() bool { return r.asked.Load() >= 2 }, nil)
			require.Zero(t, dialled.Load(), "an address inside was dialled")
			require.Zero(t, hits.Load())
			require.NotContains(t, h.Log(), canary)
		})
	}
}

// rebound has the social record stand at a name outside, port included.
func rebound(t *testing.T, src []byte, port string) *fstest.MapFile {
	t.Helper()
	var out []string
	for line := range strings.Lines(string(src)) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "endpoint:"):
			out = append(out, line[:strings.Index(line, "endpoint:")]+"endpoint: https://sisoc.example.org:"+port+"/in\n")
		case strings.HasPrefix(trimmed, "allow:"):
		case strings.HasPrefix(trimmed, "- 127.0.0.1:"):
		default:
			out = append(out, line)
		}
	}
	return &fstest.MapFile{Data: []byte(strings.Join(out, ""))}
}
