package hub

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxSocket is the longest path of a Unix socket, in bytes (unix(7)).
const maxSocket = 107

// uuid is the form of PDND's ids.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Validate reports every fault, each with its key; the error is [ErrConfig].
func (c *Config) Validate() error { return configError(c.faults()) }

// checks gathers faults.
type checks struct{ faults []error }

func (x *checks) bad(wrong bool, key, what string) {
	if wrong {
		x.faults = append(x.faults, fmt.Errorf("%s: %s", key, what))
	}
}

func (c *Config) faults() []error {
	var x checks
	x.bad(c.DataDir == "", "data_dir", "is required: the directory that holds everything the hub keeps")
	x.bad(len(filepath.Join(c.DataDir, controlSocket)) > maxSocket, "data_dir",
		fmt.Sprintf("is too long: the path of the control socket in it may have %d bytes at most", maxSocket))
	x.bad(c.Network == "", "network", "is required: the directory of the network, or builtin:reticulate")
	c.checkListeners(&x)
	c.checkVouchers(&x)
	c.checkBounds(&x)
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		x.bad(true, "log.level", "must be debug, info, warn or error")
	}
	return x.faults
}

func (c *Config) checkListeners(x *checks) {
	x.bad((c.TLS.Certificate == "") != (c.TLS.Key == ""), "tls", "needs both certificate and key")
	x.bad(!address(c.Listen), "listen", "must be HOST:PORT")
	x.bad(address(c.Listen) && c.TLS.Certificate == "" && !loopback(c.Listen), "listen",
		"without tls the API listens on loopback only (127.0.0.1:PORT)")
	x.bad(!loopback(c.Admin.Listen), "admin.listen", "must be on loopback (127.0.0.1:PORT)")
}

func (c *Config) checkVouchers(x *checks) {
	v := c.Vouchers
	x.bad(v.PublicURL != "" && !baseURL(v.PublicURL), "vouchers.public_url", "must be http:// or https:// with a host, and no slash at its end")
	ids := [3][2]string{{"vouchers.eservice", v.EService}, {"vouchers.descriptor", v.Version}, {"vouchers.producer", v.Producer}}
	if v.Issuer == "" {
		x.bad(v.JWKS != "", "vouchers.jwks", "only counts with issuer")
		x.bad(v.Audience != "", "vouchers.audience", "only counts with issuer")
		for _, id := range ids {
			x.bad(id[1] != "", id[0], "only counts with issuer")
		}
		return
	}
	x.bad(v.JWKS == "", "vouchers.jwks", "is required with issuer: the file with its keys")
	for _, id := range ids {
		x.bad(!uuid.MatchString(id[1]), id[0], "is required with issuer: a UUID in small letters")
	}
}

func (c *Config) checkBounds(x *checks) {
	x.bad(c.Checkpoint.Origin != "" && !origin(c.Checkpoint.Origin), "checkpoint.origin", "must be a name of 1 to 128 bytes without spaces and plus signs")
	x.bad(c.Checkpoint.Every < 100*time.Millisecond, "checkpoint.every", "must be at least 100ms")
	x.bad(c.Stream.Lanes < 1 || c.Stream.Lanes > 64, "stream.lanes", "must be 1 to 64")
	x.bad(c.Stream.SegmentBytes < 1<<20, "stream.segment_bytes", "must be at least 1048576")
	x.bad(c.Stream.MaxBytes/2 < c.Stream.SegmentBytes, "stream.max_bytes", "must hold at least two segments")
	d := c.Delivery
	x.bad(d.SendTimeout < 100*time.Millisecond || d.SendTimeout > 10*time.Minute, "delivery.send_timeout", "must be 100ms to 10m")
	x.bad(d.BackoffMin <= 0, "delivery.backoff_min", "must be positive")
	x.bad(d.BackoffMax < d.BackoffMin, "delivery.backoff_max", "must not be below backoff_min")
	x.bad(d.SpillAfter <= 0, "delivery.spill_after", "must be positive")
	x.bad(d.WaitingMax <= 0, "delivery.waiting_max", "must be positive")
	x.bad(d.LagMax <= 0, "delivery.lag_max", "must be positive")
	i := c.Intake
	x.bad(i.BodyBytes < 1024 || i.BodyBytes > 64<<20, "intake.body_bytes", "must be 1024 to 67108864")
	x.bad(i.Lines < 1 || i.Lines > 10_000, "intake.lines", "must be 1 to 10000")
	x.bad(i.KeepKeys < 24*time.Hour, "intake.keep_keys", "must be at least 24h")
	x.bad(i.MaxKeys < 1, "intake.max_keys", "must be positive")
	x.bad(!(c.Limits.PerSecond > 0) || math.IsInf(c.Limits.PerSecond, 0), "limits.per_second", "must be positive")
	x.bad(c.Limits.Burst < 1, "limits.burst", "must be positive")
	x.bad(c.Clock.MaxDowntime <= 0, "clock.max_downtime", "must be positive")
}

// origin is the rule of signed notes for names.
func origin(s string) bool {
	return len(s) <= 128 && !strings.Contains(s, "+") && strings.IndexFunc(s, unicode.IsSpace) < 0
}

// address tells HOST:PORT; an empty host is every interface.
func address(a string) bool {
	_, port, err := net.SplitHostPort(a)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func loopback(a string) bool {
	host, _, err := net.SplitHostPort(a)
	if err != nil || !address(a) {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func baseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && !strings.HasSuffix(s, "/")
}
