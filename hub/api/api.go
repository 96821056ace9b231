package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"raccordo/hub/access"
	"raccordo/schemas"
)

// Options is what an [API] is made of. All are required but Tokens, Mounts and
// those with a default.
type Options struct {
	Intake    Intake
	Records   Records
	Mailbox   Mailbox
	Consents  Consents
	Dossiers  Dossiers
	Catalog   Catalog
	Ledger    Ledger
	Readiness Readiness
	Tokens    Tokens // nil: vouchers come from elsewhere, and the route is not there

	Verifier Verifier
	Expect   access.Expect // the e-service the API is
	Limits   RateLimits
	Metrics  Metrics
	Logger   *slog.Logger
	Now      func() time.Time
	Random   io.Reader

	CursorKey  [32]byte // seals cursors; a new one makes older cursors invalid
	BodyBytes  int64    // largest record body; 0: 10 MiB
	BodyBudget int64    // bytes of bodies held at once; 0: 256 MiB
	Mounts     []Mount
}

// Mount is a foreign contract the hub serves on a body's behalf (WaaS), under
// a base path of its own. The API guards the path, recognises the caller and
// counts the call; what is answered is Serve's.
type Mount struct {
	Prefix string        // "/waas/livorno/": begins and ends with a slash, outside /v1
	Expect access.Expect // the e-service it is
	Open   []string      // whole paths that the contract leaves open: answered without a caller
	Serve  func(w http.ResponseWriter, r *http.Request, caller Caller)
}

// API is the hub's HTTP API. It is safe for concurrent use.
type API struct {
	o      Options
	mux    *http.ServeMux
	budget *budget
	seal   *cursorSeal
	gate   *schemas.Gate
}

// route is one line of the route table.
type route struct {
	method  string
	path    string // as the specification spells it, but {x...}
	public  bool
	byID    bool     // the path names a thing that may be somebody else's
	query   []string // parameters that may be there
	media   []string // of the body; none: no body
	largest int64    // bytes of the body
	keyed   bool     // Idempotency-Key is required
	serve   func(context.Context, *call) (*answer, error)
}

// controlBytes bounds bodies that hold no record.
const controlBytes = 128 << 10

func (a *API) routes() []route {
	control := []string{MediaJSON}
	post := func(path string, serve func(context.Context, *call) (*answer, error)) route {
		return route{method: http.MethodPost, path: path, byID: strings.Contains(path, "{"), media: control, largest: controlBytes, serve: serve}
	}
	get := func(path string, serve func(context.Context, *call) (*answer, error), query ...string) route {
		return route{method: http.MethodGet, path: path, byID: strings.Contains(path, "{"), query: query, serve: serve}
	}
	push := post("/v1/records/{record_type}", a.pushRecords)
	push.media, push.largest, push.keyed, push.byID = []string{MediaJSON, MediaNDJSON, MediaXML}, a.o.BodyBytes, true, false
	status := get("/status", a.readStatus)
	status.public = true
	out := []route{
		push, status,
		get("/v1/records/{record_type}/{record_id}", a.readRecordStatus),
		get("/v1/mailbox", a.fetchMailbox, "limit"),
		post("/v1/mailbox/acknowledgements", a.acknowledgeMailbox),
		post("/v1/consents", a.giveConsent),
		post("/v1/consents/search", a.searchConsents),
		get("/v1/consents/{consent_id}", a.readConsent),
		post("/v1/consents/{consent_id}/withdrawal", a.withdrawConsent),
		post("/v1/dossiers", a.openDossier),
		post("/v1/dossiers/{dossier_id}/closure", a.closeDossier),
		get("/v1/catalog", a.readCatalog),
		get("/v1/ledger/checkpoint", a.readCheckpoint),
		get("/v1/ledger/tile/{tile_path...}", a.readTile),
		get("/v1/ledger/entries/{seq}/proof", a.proveEntry, "tree_size", "row"),
	}
	if a.o.Tokens != nil {
		token := post(tokenPath, a.issueVoucher)
		token.public, token.media, token.largest = true, []string{mediaForm}, 2*access.MaxTokenBytes
		out = append(out, token)
	}
	return out
}

// New checks o and builds the route table.
func New(o Options) (*API, error) {
	for _, missing := range []bool{
		o.Intake == nil, o.Records == nil, o.Mailbox == nil, o.Consents == nil, o.Dossiers == nil, o.Catalog == nil,
		o.Ledger == nil, o.Readiness == nil, o.Verifier == nil, o.Limits == nil, o.Metrics == nil, o.Logger == nil,
		o.Now == nil, o.Random == nil,
	} {
		if missing {
			return nil, errors.New("API: an option is missing")
		}
	}
	if o.BodyBytes <= 0 {
		o.BodyBytes = 10 << 20
	}
	if o.BodyBudget <= 0 {
		o.BodyBudget = 256 << 20
	}
	if o.BodyBudget < o.BodyBytes {
		return nil, errors.New("API: the budget of bodies is smaller than one body")
	}
	seal, err := newCursorSeal(o.CursorKey, o.Random, o.Now)
	if err != nil {
		return nil, err
	}
	a := &API{o: o, mux: http.NewServeMux(), budget: newBudget(o.BodyBudget), seal: seal, gate: newControlGate()}
	byPath := map[string][]route{}
	for _, rt := range a.routes() {
		byPath[rt.path] = append(byPath[rt.path], rt)
	}
	for path, routes := range byPath {
		a.handle(path, func(c *call) { c.finish(c.dispatch(path, routes)) })
	}
	for _, m := range o.Mounts {
		if !mountPrefix.MatchString(m.Prefix) || strings.HasPrefix(m.Prefix, "/v1/") || m.Serve == nil {
			return nil, errors.New("API: a mount needs a prefix of its own, between slashes, and a handler")
		}
		a.handle(m.Prefix, func(c *call) { c.mount(m) })
		// Without this the mux answers the bare prefix with a redirect.
		a.handle(strings.TrimSuffix(m.Prefix, "/"), func(c *call) { c.fail(errNotFound) })
	}
	a.handle("/", func(c *call) { c.fail(errNotFound) })
	return a, nil
}

var mountPrefix = regexp.MustCompile(`^(/[a-z0-9][a-z0-9_-]*)+/$`)

// handle registers serve for a path with every method: the method is matched
// by the route, so that 405 is a problem document and HEAD, which the mux
// takes for GET, fetches no mailbox.
func (a *API) handle(path string, serve func(*call)) {
	a.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		if c, ok := w.(*call); ok {
			serve(c)
		}
	})
}

// mount serves a request under a foreign contract.
func (c *call) mount(m Mount) {
	c.pattern = m.Prefix
	if err := c.admit(slices.Contains(m.Open, c.r.URL.Path), m.Expect); err != nil {
		c.fail(err)
		return
	}
	c.limitHeaders(c.Header())
	m.Serve(c, c.r, c.caller)
	if c.status >= 400 {
		c.reason = "mount"
	}
}

func allowed(routes []route) string {
	var names []string
	for _, rt := range routes {
		names = append(names, rt.method)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// answer is what a handler that did not fail wants to be written.
type answer struct {
	status   int
	media    string
	cache    string
	location string
	body     []byte
}

// Cache-Control of answers.
const (
	noStore      = "no-store"
	noCache      = "no-cache"
	cacheCatalog = "private, max-age=60"
	cacheTile    = "private, max-age=604800"
)

// asJSON is an answer with v as JSON. What holds or may hold personal data is
// never stored on the way, so no-store is what there is without a word.
func asJSON(status int, v any) (*answer, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return &answer{status: status, media: MediaJSON, cache: noStore, body: b}, nil
}
