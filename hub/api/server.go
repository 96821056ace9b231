package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ServerOptions is what a server is made of.
type ServerOptions struct {
	Handler     http.Handler
	Certificate *tls.Certificate // nil: plain HTTP, for a loopback or behind a proxy
	Logger      *slog.Logger
}

// Times and sizes of a connection. A caller that is slower loses it, not us.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 60 * time.Second // headers and body
	writeTimeout  = 90 * time.Second // from the end of the headers
	idleTimeout   = 120 * time.Second
	headerBytes   = 16 << 10
	maxStreams    = 100
)

// NewServer is a server for the handler with sane bounds: Serve it on a
// listener, with ServeTLS and empty file names where it has a certificate.
func NewServer(o ServerOptions) (*http.Server, error) {
	if o.Handler == nil || o.Logger == nil {
		return nil, errors.New("API server: handler and logger are required")
	}
	s := &http.Server{
		Handler:           o.Handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// What net/http itself says of a connection is for those who look for
		// it; an address is all it names.
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		// OPTIONS * is answered by the API too, as a problem.
		DisableGeneralOptionsHandler: true,
	}
	if o.Certificate != nil {
		s.TLSConfig = &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{*o.Certificate},
		}
	}
	return s, nil
}

// Bound lets at most n connections of l be open at once: more wait in the
// operating system's queue, where they cost nothing (nothing is unbounded,
// design.md 5.4).
func Bound(l net.Listener, n int) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	return &boundListener{Listener: l, places: make(chan struct{}, max(1, n)), closed: ctx, cancel: cancel}
}

type boundListener struct {
	net.Listener
	places chan struct{}
	closed context.Context
	cancel context.CancelFunc
}

func (l *boundListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &boundConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *boundListener) Close() error {
	l.cancel()
	return l.Listener.Close()
}

type boundConn struct {
	net.Conn
	leave func()
}

func (c *boundConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
