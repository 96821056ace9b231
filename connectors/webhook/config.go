package webhook

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Config is what a body writes into the network for a system of this kind.
type Config struct {
	Endpoint  string               `yaml:"endpoint" doc:"Address that takes the POST, https."`
	Batch     int                  `yaml:"batch" doc:"Most JSON items in one request, 1 to 500."`
	BatchSize int                  `yaml:"batch_size" doc:"Most bytes in the body of one request of several items, 64 KiB to 64 MiB."`
	Timeout   time.Duration        `yaml:"timeout" doc:"Of one request, 1s to 5m; the hub's send time-out counts too."`
	Auth      Auth                 `yaml:"auth" doc:"How the hub shows who it is."`
	Signature connectors.SecretRef `yaml:"signature" doc:"Key of the HMAC in Raccordo-Signature; none is sent without it."`
	CA        connectors.SecretRef `yaml:"ca" doc:"PEM certificates that the recipient's certificate must lead to; those of the machine without it."`
	Allow     []string             `yaml:"allow" doc:"Addresses inside own networks that may be called: host:port or network."`
}

// Auth is how the hub shows the recipient who it is.
type Auth struct {
	Scheme string               `yaml:"scheme" doc:"none, bearer or header."`
	Header string               `yaml:"header" doc:"Name of the header for the scheme header, like X-Api-Key."`
	Secret connectors.SecretRef `yaml:"secret" doc:"The token or key."`
}

func defaults() Config {
	return Config{
		Batch:     connectors.MaxItems,
		BatchSize: 8 << 20,
		Timeout:   30 * time.Second,
		Auth:      Auth{Scheme: "none"},
	}
}

var headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

// Validate finds everything that cannot work.
func (c Config) Validate() []exchange.Fault {
	faults := connectors.CheckEndpoint(c.Endpoint, c.Allow)
	add := func(p exchange.Pointer, rule string) {
		faults = append(faults, exchange.Fault{Pointer: p, Rule: rule})
	}
	if c.Batch < 1 || c.Batch > connectors.MaxItems {
		add("/batch", "must be from 1 to 500")
	}
	if c.BatchSize < 64<<10 || c.BatchSize > 64<<20 {
		add("/batch_size", "must be from 65536 to 67108864")
	}
	if c.Timeout < time.Second || c.Timeout > 5*time.Minute {
		add("/timeout", "must be from 1s to 5m")
	}
	switch c.Auth.Scheme {
	case "none":
		if c.Auth.Secret != "" || c.Auth.Header != "" {
			add("/auth/scheme", "is none, but a secret or header is given")
		}
	case "bearer", "header":
		if c.Auth.Secret == "" {
			add("/auth/secret", "is needed for this scheme")
		}
		if (c.Auth.Scheme == "header") != (c.Auth.Header != "") {
			add("/auth/header", "belongs to the scheme header, and is needed there")
		}
	default:
		add("/auth/scheme", "must be none, bearer or header")
	}
	if h := c.Auth.Header; h != "" && (!headerName.MatchString(h) || ownHeader(h)) {
		add("/auth/header", "must be a header name that nothing else uses")
	}
	return faults
}

// ownHeader reports whether h is set by the connector or the protocol.
func ownHeader(h string) bool {
	switch h = http.CanonicalHeaderKey(h); h {
	case "Host", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection", "Content-Encoding",
		"Expect", "Upgrade", "Trailer", "Te", "Cookie", "User-Agent", "Accept", "Accept-Encoding":
		return true
	}
	return strings.HasPrefix(h, "Raccordo-") || strings.HasPrefix(h, "Proxy-")
}
