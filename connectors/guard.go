package connectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"raccordo/hub/exchange"
)

// ErrAddress says that an address may not be called.
var ErrAddress = errors.New("this address may not be called")

// Allow is the list of addresses that may be called although they lie inside
// the operator's own networks. The zero value allows none.
type Allow struct {
	hosts    map[string]bool // lower-case host:port
	prefixes []netip.Prefix
}

// ParseAllow reads entries of two forms. "host:port" names one endpoint, whose
// addresses may then be loopback, private or shared ones; "10.1.2.0/24" names
// addresses, and is needed for link-local and translated (NAT64, 6to4) ones.
// Multicast and unspecified addresses are never allowed. The entry is not part
// of the error.
func ParseAllow(entries []string) (Allow, error) {
	a := Allow{hosts: map[string]bool{}}
	var faults []error
	for i, e := range entries {
		if p, err := netip.ParsePrefix(e); err == nil {
			if p.Addr().Is4In6() || p.Masked() != p {
				faults = append(faults, fmt.Errorf("entry %d: must be the first address of the network, not mapped", i+1))
				continue
			}
			a.prefixes = append(a.prefixes, p)
			continue
		}
		host, port, err := net.SplitHostPort(e)
		if err != nil || !validPort(port) || checkHost(host) != nil {
			faults = append(faults, fmt.Errorf("entry %d: must be host:port or a network like 10.1.2.0/24", i+1))
			continue
		}
		a.hosts[endpoint(host, port)] = true
	}
	return a, errors.Join(faults...)
}

// Names reports whether the list names host:port itself.
func (a Allow) Names(host, port string) bool { return a.hosts[endpoint(host, port)] }

func endpoint(host, port string) string {
	return net.JoinHostPort(strings.TrimSuffix(strings.ToLower(host), "."), port)
}

func validPort(p string) bool {
	n, err := strconv.ParseUint(p, 10, 16)
	return err == nil && n > 0 && p[0] != '0'
}

// ParseEndpoint reads the address of a recipient: http or https, a host and
// nothing that could mean something else to another parser (user, fragment,
// numeric host forms). Plain http is read only where allow names the host and
// port: records about persons do not cross networks in clear. The error shows
// nothing of the text, which may hold a password.
func ParseEndpoint(text string, allow Allow) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || len(text) > 2048 {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the scheme must be https")
	case u.User != nil:
		return nil, errors.New("a user or password never stands in an address")
	case u.Opaque != "" || u.Host == "" || u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("must be https://host[:port]/path")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if strings.HasSuffix(u.Host, ":") || !validPort(port) {
		return nil, errors.New("the port must be from 1 to 65535")
	}
	if err := checkHost(u.Hostname()); err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !allow.Names(u.Hostname(), port) {
		return nil, errors.New("plain http is only for endpoints that the allow list names as host:port")
	}
	return u, nil
}

// checkHost refuses the spellings of addresses that some resolvers read and
// others do not: 2130706433, 0x7f.1, 127.1, mapped and zoned ones.
func checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || addr.Is4In6() {
			return errors.New("the host must be a name or a plain address")
		}
		return nil
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return errors.New("the host must be a name or a plain address")
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("the host must be a name or a plain address")
		}
	}
	// WHATWG URL, "ends in a number": such a host is an address to some.
	last := strings.ToLower(labels[len(labels)-1])
	if strings.Trim(last, "0123456789") == "" || (strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "") {
		return errors.New("the host must be a name or a plain address")
	}
	return nil
}

const (
	maxAddresses = 8                // of one name are tried
	dialTimeout  = 10 * time.Second // for resolving and dialling all of them
)

// Guard puts a check in front of dial: the host is resolved here, every
// address it has is checked after resolution, and the very address that was
// checked is dialled, so that a name that changes its mind in between
// (DNS rebinding) gains nothing. One forbidden address refuses the name. Only
// TCP is dialled. Refusals are [ErrAddress].
func Guard(s Settings, allow Allow) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network != "tcp" && network != "tcp4" && network != "tcp6" {
			return nil, fmt.Errorf("network %q: %w", network, ErrAddress)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil || !validPort(port) || checkHost(host) != nil {
			return nil, ErrAddress
		}
		// The context that net/http dials under has no deadline of its own.
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		addrs, err := resolve(ctx, s.Resolver, host)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if what := forbidden(a, allow, allow.Names(host, port)); what != "" {
				s.Metrics.Count(EventAddressRefused, 1)
				return nil, fmt.Errorf("%s address: %w", what, ErrAddress)
			}
		}
		return dialEach(ctx, s.Dial, network, addrs, port)
	}
}

func resolve(ctx context.Context, r Resolver, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	found, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve the recipient's name: %w", err)
	}
	if len(found) == 0 {
		return nil, errors.New("the recipient's name has no address")
	}
	addrs := make([]netip.Addr, len(found))
	for i, a := range found {
		addrs[i] = a.Unmap() // some resolvers give IPv4 in its mapped form
	}
	return addrs, nil
}

// dialEach tries one address after the other; each but the last gets its share
// of the time that is left, so that a dead one does not use up all of it.
func dialEach(ctx context.Context, dial DialFunc, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	addrs = addrs[:min(len(addrs), maxAddresses)]
	var last error
	for i, a := range addrs {
		one, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok && i < len(addrs)-1 {
			one, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
		}
		conn, err := dial(one, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// nets are the networks that are not reachable in public, or that lead to
// another address than the one written (IANA special-purpose registries,
// RFC 6890 and successors).
var nets = []struct {
	prefix netip.Prefix
	what   string
	inside bool // an own network: the allow list may name a host:port in it
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified", false},
	{netip.MustParsePrefix("10.0.0.0/8"), "private", true},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared", true},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback", true},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local", false},
	{netip.MustParsePrefix("172.16.0.0/12"), "private", true},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol", false},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation", false},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4", false},
	{netip.MustParsePrefix("192.168.0.0/16"), "private", true},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark", false},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation", false},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation", false},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast", false},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved", false},
	{netip.MustParsePrefix("::1/128"), "loopback", true},
	{netip.MustParsePrefix("::/96"), "unspecified", false},
	{netip.MustParsePrefix("::ffff:0:0/96"), "mapped", false},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64", false},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64", false},
	{netip.MustParsePrefix("2001::/23"), "protocol", false}, // Teredo, ORCHID, benchmarking
	{netip.MustParsePrefix("2001:db8::/32"), "documentation", false},
	{netip.MustParsePrefix("2002::/16"), "6to4", false},
	{netip.MustParsePrefix("3fff::/20"), "documentation", false},
	{netip.MustParsePrefix("fc00::/7"), "private", true},
	{netip.MustParsePrefix("fe80::/10"), "link-local", false},
	{netip.MustParsePrefix("ff00::/8"), "multicast", false},
}

// globalIPv6 is the only part of IPv6 that is public; the rest is reserved.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

// forbidden is why a may not be called, empty if it may.
func forbidden(a netip.Addr, allow Allow, named bool) string {
	what, inside := "", false
	for _, n := range nets {
		if n.prefix.Contains(a) {
			what, inside = n.what, n.inside
			break
		}
	}
	switch {
	case !a.IsValid() || a.Zone() != "":
		return "zoned"
	case a.IsUnspecified() || a.IsMulticast():
		return "unspecified or multicast"
	case what == "" && a.Is6() && !globalIPv6.Contains(a):
		what = "reserved"
	}
	if what == "" || inside && named {
		return ""
	}
	for _, p := range allow.prefixes {
		if p.Contains(a) {
			return ""
		}
	}
	return what
}

// faultsOf turns a joined error into faults at p.
func faultsOf(p exchange.Pointer, err error) []exchange.Fault {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []exchange.Fault
		for _, e := range many.Unwrap() {
			out = append(out, exchange.Fault{Pointer: p, Rule: e.Error()})
		}
		return out
	}
	return []exchange.Fault{{Pointer: p, Rule: err.Error()}}
}

// CheckEndpoint is [ParseEndpoint] and [ParseAllow] for the Validate method of
// a configuration with the keys `endpoint` and `allow`.
func CheckEndpoint(endpoint string, allow []string) []exchange.Fault {
	a, err := ParseAllow(allow)
	faults := faultsOf("/allow", err)
	if _, err := ParseEndpoint(endpoint, a); err != nil {
		faults = append(faults, faultsOf("/endpoint", err)...)
	}
	return faults
}
