package connectors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// Bounds of an answer. What is larger is not an answer (bad input B64).
const (
	MaxAnswer        = 64 << 10 // bytes of the body of a 2xx
	maxAnswerHeaders = 32 << 10 // bytes of all headers
)

// Trouble says why a request did not get a plain answer. It is an error, a
// closed set fit for a label, and stands for the errors of the network stack,
// which quote what the other side sent.
type Trouble string

// The troubles.
const (
	TroubleNone      Trouble = ""
	TroubleClosed    Trouble = "connector_closed"
	TroubleRequest   Trouble = "request_malformed"
	TroubleAddress   Trouble = "address_refused"
	TroubleName      Trouble = "name_not_resolved"
	TroubleConnect   Trouble = "not_connected"
	TroubleTLS       Trouble = "tls_failed"
	TroubleTimeout   Trouble = "timeout"
	TroubleCancelled Trouble = "cancelled"
	TroubleReset     Trouble = "connection_reset"
	TroubleCut       Trouble = "answer_cut"
	TroubleEarly     Trouble = "answered_before_sent"
	TroubleTooLarge  Trouble = "answer_too_large"
	TroubleAlien     Trouble = "answer_alien"
	TroubleSecret    Trouble = "secret_unavailable"
)

func (t Trouble) Error() string { return string(t) }

// Poster sends bodies by HTTP/1.1 and knows how far each got.
//
// Every request has a connection of its own. That costs one handshake a parcel
// (of up to 500 records) and buys certainty: no request is written on a
// connection that died unseen, so that "not sent" can be said; changes of
// address, certificate and allow list count from the next parcel on; and no
// bytes that arrive between two requests are taken for an answer (or printed
// by net/http's own logger, which does so with idle connections).
//
// Redirects are not followed, proxies of the environment not used, answers not
// decompressed, cookies not kept. Safe for concurrent use.
type Poster struct {
	transport *http.Transport
	clock     func() time.Time
	timeout   time.Duration

	ends   context.Context // cancelled when what is under way is cut
	cut    context.CancelFunc
	mu     sync.Mutex
	closed bool
	under  int           // requests under way
	idle   chan struct{} // closed when closed and under == 0
}

// PosterOptions configure a [Poster].
type PosterOptions struct {
	Allow   Allow
	Roots   *x509.CertPool // the machine's if nil
	Timeout time.Duration  // of one request; the context's deadline counts too
}

// NewPoster makes a poster whose connections go through [Guard].
func NewPoster(s Settings, o PosterOptions) (*Poster, error) {
	if s.Dial == nil || o.Timeout <= 0 {
		return nil, errors.New("a poster needs a dialer and a time-out")
	}
	p := &Poster{clock: s.Clock, timeout: o.Timeout, idle: make(chan struct{})}
	p.ends, p.cut = context.WithCancel(context.Background())
	p.transport = &http.Transport{
		DialContext: Guard(s, o.Allow),
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            o.Roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(4),
		},
		TLSHandshakeTimeout:    dialTimeout,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswerHeaders,
	}
	return p, nil
}

// Reply is how a request ended.
type Reply struct {
	Outcome    Outcome
	Class      Class // when Outcome is Answered
	Status     int   // 0 without an answer
	RetryAfter time.Duration
	Body       []byte  // of a 2xx: whole, at most MaxAnswer bytes
	Trouble    Trouble // why Outcome is not Answered
}

// Post sends body to u. A 2xx counts as [Answered] only if the whole body had
// been handed over before, and the whole answer came back within its bounds.
// When Post returns, no further byte of body is handed over.
func (p *Poster) Post(ctx context.Context, u *url.URL, header http.Header, body []byte) Reply {
	if !p.enter() {
		return Reply{Outcome: NotSent, Trouble: TroubleClosed}
	}
	defer p.leave()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	defer context.AfterFunc(p.ends, cancel)()
	if ctx.Err() != nil {
		return Reply{Outcome: NotSent, Trouble: troubleOf(ctx.Err(), false)}
	}
	out := &outgoing{ctx: ctx, rest: body}
	defer out.seal()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), out)
	if err != nil {
		return Reply{Outcome: NotSent, Trouble: TroubleRequest}
	}
	req.Header = header
	req.ContentLength = int64(len(body))
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		begun := out.seal()
		r := Reply{Outcome: Unknown, Trouble: troubleOf(err, begun)}
		if !begun {
			r.Outcome = NotSent
		}
		return r
	}
	defer func() { _ = resp.Body.Close() }() // nothing is owed to an answer that was read or given up
	return p.read(resp, out)
}

func (p *Poster) read(resp *http.Response, out *outgoing) Reply {
	r := Reply{Outcome: Answered, Class: ClassOf(resp.StatusCode), Status: resp.StatusCode}
	switch r.Class {
	case ClassNone:
		r.Outcome, r.Trouble = Unknown, TroubleAlien
		return r
	case Accepted:
	default:
		r.RetryAfter = RetryAfter(resp.Header.Get("Retry-After"), p.clock())
		return r
	}
	r.RetryAfter = RetryAfter(resp.Header.Get("Retry-After"), p.clock()) // for items to be retried
	switch body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1)); {
	case err != nil:
		r.Trouble = troubleOf(err, true)
	case len(body) > MaxAnswer:
		r.Trouble = TroubleTooLarge
	case resp.Header.Get("Content-Encoding") != "" && len(body) > 0:
		r.Trouble = TroubleAlien // we asked for none
	case !out.whole():
		r.Trouble = TroubleEarly
	default:
		r.Body = body
		return r
	}
	r.Outcome, r.Class = Unknown, ClassNone
	return r
}

// troubleOf names err; begun says whether a byte of the body may have left.
func troubleOf(err error, begun bool) Trouble {
	var (
		name    *net.DNSError
		network net.Error
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.Is(err, ErrAddress):
		return TroubleAddress
	case errors.As(err, &name):
		return TroubleName
	case errors.Is(err, context.Canceled):
		return TroubleCancelled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return TroubleTimeout
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &op) && op.Op == "remote error":
		return TroubleTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return TroubleConnect
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return TroubleReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return TroubleCut
	case !begun:
		return TroubleConnect
	}
	return TroubleAlien
}

// Close refuses new requests and waits for those under way; when ctx ends, it
// cuts them and says how many.
func (p *Poster) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if p.under == 0 {
			close(p.idle)
		}
	}
	p.mu.Unlock()
	select {
	case <-p.idle:
		p.cut()
		return nil
	default:
	}
	select {
	case <-p.idle:
		p.cut()
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	n := p.under
	p.mu.Unlock()
	p.cut()
	<-p.idle // a request ends at once when its context does
	return fmt.Errorf("%d requests were cut: %w", n, ctx.Err())
}

func (p *Poster) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.under++
	return true
}

func (p *Poster) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under--; p.closed && p.under == 0 {
		close(p.idle)
	}
}

// outgoing is a request's body that knows whether any of it was taken. The
// bytes a reader has taken may have left; those it has not taken have not.
type outgoing struct {
	ctx context.Context

	mu     sync.Mutex
	rest   []byte
	begun  bool
	sealed bool
}

// Read gives nothing more once the request's time is over: the deadline is
// looked at before the first byte (protocol.md 5.3).
func (o *outgoing) Read(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed {
		return 0, errors.New("the request is over")
	}
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	if len(o.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, o.rest)
	o.rest = o.rest[n:]
	o.begun = true
	return n, nil
}

func (o *outgoing) Close() error { return nil }

// seal ends the body and reports whether any of it was taken.
func (o *outgoing) seal() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed = true
	return o.begun
}

func (o *outgoing) whole() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rest) == 0
}
