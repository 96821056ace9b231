package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// caller is a command that calls the hub's API in the name of a system.
type caller struct {
	*command
	called                              string // base URL
	as, url, tokenURL, key, ca, purpose string
	clientID, purposeID                 string
	net                                 *string
}

// caller begins a command for systems of bodies.
func (p *process) caller(words, arguments, about, example string) *caller {
	c := &caller{command: p.command(words, arguments, about, example)}
	f := c.flags
	f.StringVar(&c.as, "as", "", "`SYSTEM` of the network in whose name to call")
	f.StringVar(&c.key, "key", "", "`FILE` with the system's private key (PEM); default: RACCORDO_KEY")
	f.StringVar(&c.url, "url", "", "base `URL` of the hub; default: RACCORDO_URL, or as the configuration says")
	f.StringVar(&c.ca, "ca", "", "`FILE` with the certificates (PEM) that the hub's leads to; default: RACCORDO_CA, or the machine's")
	f.StringVar(&c.purpose, "purpose", "", "`PURPOSE` the voucher is for; default: the system's first by name")
	f.StringVar(&c.clientID, "client-id", "", "client `ID` of the system, where there is no network at hand")
	f.StringVar(&c.purposeID, "purpose-id", "", "purpose `ID` the voucher is for, where there is no network at hand")
	f.StringVar(&c.tokenURL, "token-url", "", "`URL` where vouchers come from; default: that of the hub")
	c.net = c.networkFlag()
	return c
}

// client is ready to call.
func (c *caller) client() (*client.Client, error) {
	if err := c.required("as"); err != nil {
		return nil, err
	}
	key, err := c.privateKey()
	if err != nil {
		return nil, err
	}
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	c.called = base
	if err := c.identify(); err != nil {
		return nil, err
	}
	h, err := c.http()
	if err != nil {
		return nil, err
	}
	made, err := client.New(client.Options{URL: base, TokenURL: c.tokenURL, ClientID: c.clientID, PurposeID: c.purposeID, Key: key,
		HTTP: h, Now: c.p.now, Random: c.p.random})
	if err != nil {
		return nil, usagef("%s", err)
	}
	return made, nil
}

// where says which address was dead: there nothing is overloaded, nothing is
// there.
func (c *caller) where(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		return err
	}
	return fmt.Errorf("no hub answers at %s", c.called)
}

// identify finds client and purpose ids in the network, unless both are given.
func (c *caller) identify() error {
	if c.clientID != "" && c.purposeID != "" {
		return nil
	}
	n, err := c.network(*c.net)
	if err != nil {
		return err
	}
	s := n.System(exchange.SystemID(c.as))
	if s == nil || s.Client == "" {
		return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the network has no such system, or it has no client id; raccordo system list shows them")
	}
	byName := map[string]string{}
	for id, p := range s.Purposes {
		byName[string(p)] = id
	}
	names := slices.Sorted(maps.Keys(byName))
	if len(names) == 0 {
		return usagef("the system has no purpose")
	}
	if c.purpose == "" {
		c.purpose = names[0]
	}
	id, ok := byName[c.purpose]
	if !ok {
		return usagef("the system has no such purpose; it has: %s", strings.Join(names, ", "))
	}
	if c.clientID == "" {
		c.clientID = s.Client
	}
	if c.purposeID == "" {
		c.purposeID = id
	}
	return nil
}

// base is the URL of the hub.
func (c *caller) base() (string, error) {
	if c.url != "" {
		return c.url, nil
	}
	if u := c.p.getenv("RACCORDO_URL"); u != "" {
		return u, nil
	}
	if c.configFile() == "" {
		return "", usagef("which hub? give --url URL or --config FILE, or set RACCORDO_URL or RACCORDO_CONFIG")
	}
	config, err := c.loadConfig()
	if err != nil {
		return "", err
	}
	switch {
	case config.Vouchers.PublicURL != "":
		return config.Vouchers.PublicURL, nil
	case config.TLS.Certificate != "":
		return "https://" + config.Listen, nil
	}
	return "http://" + config.Listen, nil
}

func (c *caller) http() (*http.Client, error) {
	file := c.ca
	if file == "" {
		file = c.p.getenv("RACCORDO_CA")
	}
	if file == "" {
		return nil, nil
	}
	b, err := readBounded(file, maxKey)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, usagef("%s holds no certificate", file)
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second}
	return &http.Client{Transport: t, Timeout: time.Minute}, nil
}

func (c *caller) keyFile() (string, error) {
	if c.key != "" {
		return c.key, nil
	}
	if k := c.p.getenv("RACCORDO_KEY"); k != "" {
		return k, nil
	}
	return "", usagef("with which key? give --key FILE or set RACCORDO_KEY; raccordo token --new-key makes one")
}

var errKey = errors.New("it holds no RSA private key in PEM (PKCS #8 or PKCS #1), without a password")

// privateKey reads the system's key. Nothing of the file is part of an error.
func (c *caller) privateKey() (crypto.Signer, error) {
	file, err := c.keyFile()
	if err != nil {
		return nil, err
	}
	b, err := readBounded(file, maxKey)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: %w", file, errKey)
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, errKey)
	}
	signer, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: %w", file, errKey)
	}
	return signer, nil
}

const newKeyBits = 3072

// newKey makes a key and writes it for its owner only; a file that is there is
// never overwritten. It returns the public part in PEM.
func (c *caller) newKey() ([]byte, error) {
	file, err := c.keyFile()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	public, err := writeKey(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a key: %w", err), os.Remove(file))
	}
	return public, nil
}

func writeKey(f *os.File) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, newKeyBits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), f.Sync()
}
