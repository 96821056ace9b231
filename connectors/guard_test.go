package connectors_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
)

// The forms of B62, none of which is a public endpoint.
var refusedEndpoints = []string{
	"", " ", "recipient.example", "//recipient.example/in", "/in", "https:", "https://", "https:///in", "https:recipient.example",
	"file:///etc/passwd", "gopher://recipient.example/", "unix:///run/x.sock", "http+unix://x/", "ftp://recipient.example/", "HTTPX://recipient.example/",
	"https://user@recipient.example/", "https://user:secret-pass@recipient.example/", "https://recipient.example@127.0.0.1/", "https://@recipient.example/",
	"https://recipient.example/in#x", "https://recipient.example/#",
	"https://recipient.example:0/", "https://recipient.example:65536/", "https://recipient.example:/", "https://recipient.example:x/", "https://recipient.example:0443/",
	"https://2130706433/", "https://0x7f.1/", "https://0x7f000001/", "https://0X7F.0.0.1/", "https://127.1/", "https://0177.0.0.1/", "https://127.0.0.1./", "https://1.2.3.4.5/", "https://256.1.1.1/",
	"https://[::ffff:7f00:1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[::1/",
	"https://recipient..example/", "https://-recipient.example/", "https://recipient-.example/", "https://recip%69ent.example/", "https://recipient.example%00.evil/", "https://recipient.example\\@evil/",
	"https://①②⑦.0.0.1/", "https://rеcipient.example/", // fullwidth digits, a Cyrillic letter
	"http://recipient.example/", "http://10.0.0.1/", // in clear, and not named
	"https://" + strings.Repeat("a", 64) + ".example/", "https://recipient.example/" + strings.Repeat("a", 3000),
}

func TestParseEndpoint(t *testing.T) {
	allow, err := connectors.ParseAllow([]string{"127.0.0.1:8080", "Desk.Internal:80"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range refusedEndpoints {
		if _, err := connectors.ParseEndpoint(text, allow); err == nil {
			t.Errorf("%q was taken", text)
		} else if strings.Contains(err.Error(), "secret-pass") {
			t.Error("the error shows a password")
		}
	}
	for _, text := range []string{"https://recipient.example", "https://recipient.example:8443/in?x=1", "https://127.0.0.1/", "https://[2001:db8::1]:8443/in",
		"http://127.0.0.1:8080/in", "http://desk.internal/in", "HTTPS://Recipient.Example./in"} {
		if _, err := connectors.ParseEndpoint(text, allow); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseAllow(t *testing.T) {
	for _, e := range []string{"", "10.0.0.1", "10.0.0.1/8", "::ffff:10.0.0.0/104", "host", "host:0", "host:99999", ":80", "0x7f.1:80", "a b:80", "https://host:80"} {
		if _, err := connectors.ParseAllow([]string{e}); err == nil {
			t.Errorf("%q was taken", e)
		}
	}
	if _, err := connectors.ParseAllow([]string{"10.0.0.0/8", "fd00::/8", "host.internal:443", "[::1]:80"}); err != nil {
		t.Error(err)
	}
}

// dialled is a dialer that records and refuses.
type dialled struct{ addresses []string }

var errDialled = errors.New("dialled")

func (d *dialled) dial(_ context.Context, _, address string) (net.Conn, error) {
	d.addresses = append(d.addresses, address)
	return nil, errDialled
}

func guard(t *testing.T, names connectors.Resolver, allow ...string) (connectors.DialFunc, *dialled) {
	t.Helper()
	a, err := connectors.ParseAllow(allow)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialled{}
	s := connectortest.NewBench(t).Settings()
	s.Dial, s.Resolver = d.dial, names
	return connectors.Guard(s, a), d
}

func TestGuardAddresses(t *testing.T) {
	for address, allow := range map[string]struct{ name, cidr string }{ // which entry lets it through; empty: none does
		"127.0.0.1":              {"x:443", "127.0.0.0/8"},
		"127.255.255.254":        {"x:443", "127.0.0.0/8"},
		"10.1.2.3":               {"x:443", "10.1.2.3/32"},
		"172.16.0.1":             {"x:443", "172.16.0.0/12"},
		"172.31.255.255":         {"x:443", "172.16.0.0/12"},
		"192.168.1.1":            {"x:443", "192.168.1.0/24"},
		"100.64.0.1":             {"x:443", "100.64.0.0/10"},
		"100.127.255.255":        {"x:443", "100.64.0.0/10"},
		"fd12::1":                {"x:443", "fd12::/16"},
		"::1":                    {"x:443", "::1/128"},
		"169.254.169.254":        {"", "169.254.0.0/16"},
		"fe80::1":                {"", "fe80::/10"},
		"192.0.0.1":              {"", "192.0.0.0/24"},
		"192.0.2.1":              {"", "192.0.2.0/24"},
		"198.18.0.1":             {"", "198.18.0.0/15"},
		"198.51.100.1":           {"", "198.51.100.0/24"},
		"203.0.113.1":            {"", "203.0.113.0/24"},
		"192.88.99.1":            {"", "192.88.99.0/24"},
		"240.0.0.1":              {"", "240.0.0.0/4"},
		"255.255.255.255":        {"", "240.0.0.0/4"},
		"0.1.2.3":                {"", "0.0.0.0/8"},
		"64:ff9b::7f00:1":        {"", "64:ff9b::/96"},
		"64:ff9b:1::a00:1":       {"", "64:ff9b:1::/48"},
		"2002:7f00:1::":          {"", "2002::/16"},
		"2001:0:4136:e378::1":    {"", "2001::/32"},
		"2001:db8::1":            {"", "2001:db8::/32"},
		"::7f00:1":               {"", "::/96"},
		"fec0::1":                {"", "fec0::/10"},
		"100::1":                 {"", "100::/64"},
		"5f00::1":                {"", "5f00::/16"},
		"0.0.0.0":                {"", ""},
		"::":                     {"", ""},
		"224.0.0.1":              {"", ""},
		"239.255.255.255":        {"", ""},
		"ff02::1":                {"", ""},
		"fe80::1%eth0":           {"", ""},
		"::ffff:127.0.0.1":       {"x:443", "127.0.0.0/8"}, // as some resolvers give IPv4
		"::ffff:169.254.169.254": {"", "169.254.0.0/16"},
	} {
		names := connectortest.Names{"x": {netip.MustParseAddr(address)}}
		try := func(entries ...string) error {
			d, _ := guard(t, names, entries...)
			_, err := d(context.Background(), "tcp", "x:443")
			return err
		}
		if err := try(); !errors.Is(err, connectors.ErrAddress) {
			t.Errorf("%s: %v", address, err)
		}
		if err := try("x:443"); errors.Is(err, connectors.ErrAddress) != (allow.name == "") {
			t.Errorf("%s, named: %v", address, err)
		}
		cidrs := []string{allow.cidr}
		if allow.cidr == "" {
			cidrs = []string{"0.0.0.0/0", "::/0"}
		}
		if err := try(cidrs...); errors.Is(err, connectors.ErrAddress) != (allow.cidr == "") {
			t.Errorf("%s, network allowed: %v", address, err)
		}
		if err := try("x:444", "y:443", "9.9.9.0/24"); !errors.Is(err, connectors.ErrAddress) {
			t.Errorf("%s, something else allowed: %v", address, err)
		}
	}
	for _, public := range []string{"1.1.1.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "2a00::1", "2606:4700::1111"} {
		d, seen := guard(t, connectortest.Names{"x": {netip.MustParseAddr(public)}})
		if _, err := d(context.Background(), "tcp", "x:443"); !errors.Is(err, errDialled) || len(seen.addresses) != 1 {
			t.Errorf("%s: %v", public, err)
		}
	}
}

func TestGuardChecksEveryAddress(t *testing.T) {
	d, seen := guard(t, connectortest.Names{"x": {netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("127.0.0.1")}})
	if _, err := d(context.Background(), "tcp", "x:443"); !errors.Is(err, connectors.ErrAddress) || len(seen.addresses) != 0 {
		t.Errorf("%v, dialled %v", err, seen.addresses)
	}
}

// rebinding gives a public address first and an inner one ever after.
type rebinding struct{ asked int }

func (r *rebinding) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if r.asked++; r.asked == 1 {
		return []netip.Addr{netip.MustParseAddr("1.1.1.1")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func TestGuardDialsWhatItChecked(t *testing.T) {
	names := &rebinding{}
	d, seen := guard(t, names)
	_, err := d(context.Background(), "tcp", "x:443")
	if !errors.Is(err, errDialled) || names.asked != 1 || len(seen.addresses) != 1 || seen.addresses[0] != "1.1.1.1:443" {
		t.Errorf("%v, resolved %d times, dialled %v", err, names.asked, seen.addresses)
	}
	if _, err := d(context.Background(), "tcp", "x:443"); !errors.Is(err, connectors.ErrAddress) {
		t.Errorf("the second time: %v", err)
	}
}

func TestGuardRefusesOtherThanTCPAndStrangeHosts(t *testing.T) {
	d, seen := guard(t, connectortest.Names{"localhost": {netip.MustParseAddr("127.0.0.1")}})
	for _, c := range [][2]string{{"unix", "/run/x.sock"}, {"udp", "1.1.1.1:53"}, {"tcp", "1.1.1.1"}, {"tcp", "1.1.1.1:0"}, {"tcp", "2130706433:80"},
		{"tcp", "0x7f.1:80"}, {"tcp", "[::ffff:1.1.1.1]:80"}, {"tcp", "[fe80::1%eth0]:80"}, {"tcp", "localhost:80"}, {"tcp", "localhost.:80"}, {"tcp", ":80"}} {
		if _, err := d(context.Background(), c[0], c[1]); !errors.Is(err, connectors.ErrAddress) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if len(seen.addresses) != 0 {
		t.Errorf("dialled %v", seen.addresses)
	}
}

func TestGuardTriesTheNextAddress(t *testing.T) {
	s := connectortest.NewBench(t).Settings()
	s.Resolver = connectortest.Names{"x": {netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("1.1.1.2")}}
	s.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		if address == "1.1.1.1:443" { // a black hole
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a, b := net.Pipe()
		_ = b.Close()
		return a, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	c, err := connectors.Guard(s, connectors.Allow{})(ctx, "tcp", "x:443")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func FuzzParseEndpoint(f *testing.F) {
	for _, s := range refusedEndpoints {
		f.Add(s)
	}
	f.Add("https://recipient.example:8443/in")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := connectors.ParseEndpoint(text, connectors.Allow{})
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, "@\\/?# \t\r\n") {
			t.Errorf("%q became %q", text, u)
		}
	})
}
