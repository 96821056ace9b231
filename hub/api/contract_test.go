package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

// The measure of openapi.md's last paragraph: what a green lint does not show.

func loadSpec(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	require.NoError(t, err)
	return doc
}

// operation is one operation of the specification.
type operation struct {
	method, path string
	item         *openapi3.PathItem
	op           *openapi3.Operation
}

func (o operation) name() string { return o.op.OperationID }

func (o operation) public() bool {
	return o.op.Security != nil && len(*o.op.Security) == 1 && len((*o.op.Security)[0]) == 0
}

func (o operation) hasBody() bool { return o.op.RequestBody != nil }

func operations(doc *openapi3.T) []operation {
	var out []operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			out = append(out, operation{method, path, item, op})
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

func TestSpecIsValidAndSoAreItsExamples(t *testing.T) {
	doc := loadSpec(t)
	require.NoError(t, doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaDefaultsValidation()))
	require.Equal(t, "3.0.3", doc.OpenAPI)
	require.NotEmpty(t, doc.Info.Contact.Email)
	for _, key := range []string{"x-summary", "x-api-id"} {
		require.NotEmpty(t, doc.Info.Extensions[key], key)
	}
	for _, s := range doc.Servers {
		require.NotEmpty(t, s.Description)
		require.False(t, strings.HasSuffix(s.URL, "/"))
		if !strings.HasPrefix(s.URL, "https://") {
			require.Equal(t, true, s.Extensions["x-sandbox"], s.URL)
		}
	}
}

func TestSpecIsTheRouteTable(t *testing.T) {
	spec := map[string]bool{}
	for _, o := range operations(loadSpec(t)) {
		spec[o.method+" "+o.path] = o.public()
	}
	table := map[string]bool{}
	for _, rt := range newRig(t).api.routes() {
		table[rt.method+" "+strings.ReplaceAll(rt.path, "...", "")] = rt.public
	}
	require.Equal(t, spec, table)
}

func TestSpecBodiesAreThoseOfTheRouteTable(t *testing.T) {
	doc := loadSpec(t)
	for _, rt := range newRig(t).api.routes() {
		op := doc.Paths.Value(strings.ReplaceAll(rt.path, "...", "")).GetOperation(rt.method)
		var media, query []string
		if op.RequestBody != nil {
			require.True(t, op.RequestBody.Value.Required, rt.path)
			for m := range op.RequestBody.Value.Content {
				media = append(media, m)
			}
		}
		keyed := false
		for _, p := range op.Parameters {
			switch {
			case p.Value.In == "query":
				query = append(query, p.Value.Name)
			case p.Value.Name == "Idempotency-Key":
				keyed = p.Value.Required
			}
		}
		require.ElementsMatch(t, rt.media, media, rt.path)
		require.ElementsMatch(t, rt.query, query, rt.path)
		require.Equal(t, rt.keyed, keyed, rt.path)
	}
}

var (
	kebab  = regexp.MustCompile(`^[a-z0-9]+([-.][a-z0-9]+)*$`)
	snake  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	pascal = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	header = regexp.MustCompile(`^[A-Z][A-Za-z]*(-[A-Z][A-Za-z]*)*$`)
	verbs  = regexp.MustCompile(`^(get|post|put|delete|patch|head)`)
	// What could name a person has no place in a URL (design.md section 9).
	person = regexp.MustCompile(`(^|_)(cf|tax|fiscal|person|name|surname|birth|stp|eni|anpr|subject|identifier|email|phone|address|value)(_|$)`)
)

func TestNames(t *testing.T) {
	doc := loadSpec(t)
	ids := map[string]bool{}
	for _, o := range operations(doc) {
		for _, part := range strings.Split(strings.Trim(o.path, "/"), "/") {
			if strings.HasPrefix(part, "{") {
				require.Regexp(t, snake, strings.Trim(part, "{}"), o.path)
				continue
			}
			require.Regexp(t, kebab, part, o.path)
		}
		require.False(t, ids[o.name()], o.name())
		ids[o.name()] = true
		require.NotRegexp(t, verbs, o.name())
		require.NotEmpty(t, o.op.Description, o.name())
		require.Len(t, o.op.Tags, 1, o.name())
		require.NotNil(t, doc.Tags.Get(o.op.Tags[0]), o.name())
		for _, p := range o.op.Parameters {
			if p.Value.In == "header" {
				require.Regexp(t, header, p.Value.Name)
				continue
			}
			require.Regexp(t, snake, p.Value.Name, o.name())
			require.NotRegexp(t, person, p.Value.Name, o.name())
		}
	}
	for name := range doc.Components.Schemas {
		require.Regexp(t, pascal, name)
	}
}

// walk visits every schema of the specification, where it stands.
func walk(doc *openapi3.T, visit func(where string, s *openapi3.Schema)) {
	var down func(where string, r *openapi3.SchemaRef)
	down = func(where string, r *openapi3.SchemaRef) {
		if r == nil || r.Value == nil || r.Ref != "" {
			return
		}
		visit(where, r.Value)
		for name, p := range r.Value.Properties {
			down(where+"."+name, p)
		}
		down(where+"[]", r.Value.Items)
	}
	for name, s := range doc.Components.Schemas {
		down(name, s)
	}
	content := func(where string, c openapi3.Content) {
		for m, media := range c {
			down(where+" "+m, media.Schema)
		}
	}
	headers := func(where string, hs openapi3.Headers) {
		for name, h := range hs {
			down(where+" "+name, h.Value.Schema)
		}
	}
	for _, o := range operations(doc) {
		for _, p := range o.op.Parameters {
			down(o.name()+" "+p.Value.Name, p.Value.Schema)
		}
		if o.hasBody() {
			content(o.name(), o.op.RequestBody.Value.Content)
		}
		for code, res := range o.op.Responses.Map() {
			content(o.name()+" "+code, res.Value.Content)
			headers(o.name()+" "+code, res.Value.Headers)
		}
	}
}

func TestEverySchemaIsBounded(t *testing.T) {
	walk(loadSpec(t), func(where string, s *openapi3.Schema) {
		for name := range s.Properties {
			require.Regexp(t, snake, name, where)
		}
		switch {
		case s.Type.Is("string"):
			require.True(t, s.MaxLength != nil || len(s.Enum) > 0, "%s: no bound", where)
			require.True(t, s.Pattern != "" || s.Format != "" || len(s.Enum) > 0, "%s: no shape", where)
		case s.Type.Is("integer"), s.Type.Is("number"):
			require.Contains(t, []string{"int32", "int64"}, s.Format, where)
			require.True(t, s.Min != nil && s.Max != nil, "%s: no bounds", where)
		case s.Type.Is("array"):
			require.NotNil(t, s.Items, where)
			require.NotNil(t, s.MaxItems, "%s: no bound", where)
		case s.Type.Is("object"):
			stated := s.AdditionalProperties
			closed := stated.Has != nil && !*stated.Has
			require.True(t, closed || (stated.Schema != nil && s.MaxProps != nil), "%s: neither closed nor bounded", where)
		case s.Type.Is("boolean"):
		default:
			require.NotEmpty(t, s.OneOf, "%s: no type", where)
		}
		require.Empty(t, s.AllOf, where)
	})
}

func TestRequestsAreClosedAndAnswersOpen(t *testing.T) {
	doc := loadSpec(t)
	answers := regexp.MustCompile(`^(Problem|Fault|ForeignRecord|Acknowledgement|Recipient|BatchAcknowledgement|LineAnswer|RecordStatus|MailboxPage|MailboxItem|MailboxResults?|Consent|ConsentEnd|ConsentPage|Dossier|Catalog|CatalogItem|LedgerProof|RowProof|Voucher)$`)
	for name, s := range doc.Components.Schemas {
		if !s.Value.Type.Is("object") {
			continue
		}
		closed := s.Value.AdditionalProperties.Has != nil
		require.Equal(t, !answers.MatchString(name), closed, name)
	}
}

func TestEveryOperationHasItsAnswers(t *testing.T) {
	for _, o := range operations(loadSpec(t)) {
		t.Run(o.name(), func(t *testing.T) {
			want := []string{"400", "429", "500", "503"}
			if !o.public() {
				want = append(want, "401", "403")
			}
			if strings.Contains(o.path, "{") {
				want = append(want, "404")
			}
			if o.hasBody() {
				want = append(want, "413", "415", "422")
			}
			for _, code := range want {
				require.NotNil(t, o.op.Responses.Value(code), code)
			}
			good := 0
			for code, res := range o.op.Responses.Map() {
				requireAnswer(t, code, res.Value)
				if code[0] == '2' {
					good++
				}
			}
			require.Equal(t, 1, good)
		})
	}
}

func requireAnswer(t *testing.T, code string, res *openapi3.Response) {
	t.Helper()
	require.NotEmpty(t, *res.Description)
	if code[0] == '2' || code[0] == '4' {
		for _, h := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
			require.Contains(t, res.Headers, h, code)
		}
	}
	if code == "429" || code == "503" {
		require.Contains(t, res.Headers, "Retry-After", code)
	}
	if code[0] == '2' {
		require.Contains(t, res.Headers, "Cache-Control", code)
		require.Regexp(t, `no-store|no-cache|private|max-age`, res.Headers["Cache-Control"].Value.Description)
		return
	}
	require.Len(t, res.Content, 1)
	media := res.Content.Get(mediaProblem)
	require.NotNil(t, media, code)
	require.Equal(t, "#/components/schemas/Problem", media.Schema.Ref, "one shared Problem")
}

// example builds the request that the specification's own examples make.
func (o operation) example(t *testing.T, base, media string) *http.Request {
	t.Helper()
	path, query := o.path, url.Values{}
	headers := http.Header{}
	for _, p := range o.op.Parameters {
		v := fmt.Sprint(p.Value.Example)
		if f, ok := p.Value.Example.(float64); ok {
			v = fmt.Sprint(int64(f))
		}
		switch p.Value.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", v)
		case "query":
			query.Set(p.Value.Name, v)
		case "header":
			headers.Set(p.Value.Name, v)
		}
	}
	var body []byte
	if media != "" {
		headers.Set("Content-Type", media)
		body = encode(t, media, o.op.RequestBody.Value.Content.Get(media).Example)
	}
	target := base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(t.Context(), o.method, target, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = headers
	req.Header.Set("Authorization", "Bearer "+deskToken)
	return req
}

func encode(t *testing.T, media string, example any) []byte {
	t.Helper()
	switch media {
	case MediaJSON:
		b, err := json.Marshal(example)
		require.NoError(t, err)
		return b
	case mediaForm:
		form := url.Values{}
		for k, v := range example.(map[string]any) {
			form.Set(k, v.(string))
		}
		return []byte(form.Encode())
	}
	return []byte(example.(string))
}

// medias are the media types of the operation's body, or one empty one.
func (o operation) medias() []string {
	if !o.hasBody() {
		return []string{""}
	}
	var out []string
	for m := range o.op.RequestBody.Value.Content {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

// requireContract wants an answer to be one that the specification allows,
// headers included.
func requireContract(t *testing.T, doc *openapi3.T, o operation, req *http.Request, res reply) {
	t.Helper()
	code := fmt.Sprint(res.status)
	declared := o.op.Responses.Value(code)
	require.NotNil(t, declared, "status %s is not in the specification", code)
	for name, h := range declared.Value.Headers {
		if name == "Location" && req.Header.Get("Content-Type") == MediaNDJSON {
			continue
		}
		require.NotEmpty(t, res.header.Get(name), "header %s", name)
		if enum := h.Value.Schema.Value.Enum; len(enum) > 0 {
			require.Contains(t, enum, any(res.header.Get(name)))
		}
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req,
			Route: &routers.Route{Spec: doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.op}},
		Status: res.status, Header: res.header, Body: io.NopCloser(bytes.NewReader(res.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	require.NoError(t, openapi3filter.ValidateResponse(context.Background(), input))
	if res.status >= 400 {
		p := res.problem(t)
		require.Equal(t, problemType+p.Reason, p.Type)
		require.Equal(t, noStore, res.header.Get("Cache-Control"))
		require.Equal(t, o.path == tokenPath, p.OAuthError != "", "RFC 6749 error")
	}
}

func TestExamplesOfTheSpecAreServedAsItSays(t *testing.T) {
	doc := loadSpec(t)
	r := newRig(t)
	for _, o := range operations(doc) {
		for _, media := range o.medias() {
			t.Run(o.name()+" "+media, func(t *testing.T) {
				req := o.example(t, r.srv.URL, media)
				res := r.send(req)
				require.Equal(t, 2, res.status/100, string(res.body))
				requireContract(t, doc, o, req, res)
			})
		}
	}
}

// provoke is how each error comes about, for any operation.
var provoke = map[string]struct {
	fail error
	full bool
	edit func(*http.Request)
}{
	"400": {edit: func(r *http.Request) { r.URL.RawQuery = "unknown=1" }},
	"401": {fail: exchange.NewError(exchange.CodeUnauthenticated, exchange.ReasonTokenInvalid, "no"), edit: func(r *http.Request) { r.Header.Del("Authorization") }},
	"403": {fail: exchange.NewError(exchange.CodeForbidden, exchange.ReasonRoleMissing, "no role of the caller permits this")},
	"404": {fail: exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "")},
	"409": {fail: exchange.NewError(exchange.CodeConflict, exchange.ReasonConsentState, "the consent is not in force")},
	"413": {edit: func(r *http.Request) {
		// The answer comes before the body is sent.
		r.Header.Set("Expect", "100-continue")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat(" ", 11<<20))), 11<<20
	}},
	"415": {edit: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
	"422": {fail: exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "a rule", exchange.Fault{Pointer: "/a", Rule: "enum", Line: 3})},
	"429": {full: true},
	"500": {fail: errors.New("canary-7c2 in an error")},
	"503": {fail: exchange.NewError(exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown, "repeat with the same key")},
}

func TestEveryErrorOfTheSpecIsServedAsItSays(t *testing.T) {
	doc := loadSpec(t)
	for _, o := range operations(doc) {
		for code := range o.op.Responses.Map() {
			if code[0] == '2' {
				continue
			}
			t.Run(o.name()+" "+code, func(t *testing.T) {
				how, ok := provoke[code]
				require.True(t, ok, "no way to provoke %s", code)
				r := newRig(t)
				r.fake.err, r.fake.full = how.fail, how.full
				req := o.example(t, r.srv.URL, o.medias()[0])
				if how.edit != nil {
					how.edit(req)
				}
				res := r.send(req)
				require.Equal(t, code, fmt.Sprint(res.status), string(res.body))
				requireContract(t, doc, o, req, res)
				require.NotContains(t, string(res.body), "canary-7c2")
			})
		}
	}
}
