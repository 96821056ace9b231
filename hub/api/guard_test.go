package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

// raw sends bytes as they are and reads the answer.
func (r *rig) raw(request string) *http.Response {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.srv.URL, "http://"))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(r.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	go func() { _, _ = io.WriteString(conn, request) }()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(r.t, err)
	return res
}

func (r *rig) rawGet(target string, headers ...string) *http.Response {
	return r.raw("GET " + target + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + deskToken + "\r\nConnection: close\r\n" +
		strings.Join(headers, "") + "\r\n")
}

// B18: no other spelling of a path reaches a route.
func TestOddPathsAreOnNoRoute(t *testing.T) {
	r := newRig(t)
	require.Equal(t, 200, r.rawGet("/v1/mailbox").StatusCode, "the plain one")
	r.fake.fetched = 0
	for _, target := range []string{
		"/v1/mailbox/", "//v1/mailbox", "/v1//mailbox", "/v1/./mailbox", "/v1/x/../mailbox", "/v1/x/..;/mailbox", "/v1/mailbox;x=1",
		"/v1%2fmailbox", "/v1/mail%62ox", "/v1/mailbox%00", "/v1/mailbox%0a", "/%76%31/mailbox", "/v1/mailbox%3flimit=1", "/V1/mailbox",
		"/v1\\mailbox", "/v1/records/service_request%2f" + recordID.String(), "/v1/ledger/tile/../checkpoint", "/v1/ledger/tile/8/0/%2e%2e/000",
		"/", "/v1", "/v1/", "/" + strings.Repeat("a", 600), "/v1/consents/search/", "/.well-known/jwks.json", "/debug/pprof/",
	} {
		t.Run(target[:min(len(target), 40)], func(t *testing.T) {
			res := r.rawGet(target)
			require.Equal(t, 404, res.StatusCode)
			require.Equal(t, mediaProblem, res.Header.Get("Content-Type"))
			require.NotEmpty(t, res.Header.Get("X-RateLimit-Limit"))
		})
	}
	require.Zero(t, r.fake.fetched)
}

func TestTargetsThatAreNoPaths(t *testing.T) {
	r := newRig(t)
	for _, line := range []string{"GET http://elsewhere.example/v1/mailbox", "OPTIONS *", "CONNECT elsewhere.example:443"} {
		res := r.raw(line + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + deskToken + "\r\nConnection: close\r\n\r\n")
		require.Contains(t, []int{200, 400}, res.StatusCode, line)
		if res.StatusCode == 200 { // OPTIONS * of net/http itself, where a server is not ours
			require.True(t, strings.HasPrefix(line, "OPTIONS"), line)
		}
	}
	require.Zero(t, r.fake.fetched)
}

// B18: methods are those of the specification; HEAD is not a quiet GET, and no
// header overrides one.
func TestOtherMethodsAreRefused(t *testing.T) {
	r := newRig(t)
	for _, method := range []string{"HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"} {
		res := r.do(method, "/v1/mailbox", "")
		require.Equal(t, 405, res.status, method)
		require.Equal(t, "GET", res.header.Get("Allow"), method)
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		res := r.do("POST", "/v1/mailbox?_method=GET", "{}", with(name, "GET"))
		require.Equal(t, 405, res.status, name)
	}
	require.Zero(t, r.fake.fetched)
	require.Equal(t, 405, r.do("GET", "/v1/consents/search", "").status)
}

// B17.
func TestOddHeaders(t *testing.T) {
	r := newRig(t)
	res := r.rawGet("/v1/mailbox", "Authorization: Bearer "+deskToken+"\r\n")
	require.Equal(t, 401, res.StatusCode, "two Authorization")
	require.Equal(t, 400, r.rawGet("/v1/mailbox", "X-A: a\x00b\r\n").StatusCode)
	require.Zero(t, r.fake.fetched)

	server, err := NewServer(ServerOptions{Handler: r.api, Logger: r.api.o.Logger})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	r.srv.URL = "http://" + l.Addr().String()
	require.Equal(t, 431, r.rawGet("/v1/mailbox", "X-Big: "+strings.Repeat("a", 1<<20)+"\r\n").StatusCode)
	require.Equal(t, 431, r.rawGet("/v1/mailbox", strings.Repeat("X-Many: a\r\n", 10_000)).StatusCode)
	require.Zero(t, r.fake.fetched)
	res = r.raw("OPTIONS * HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
	require.Equal(t, 400, res.StatusCode)
}

// B19: what a proxy claims changes neither who is asking nor whose rate it is.
func TestForwardedHeadersAreNotBelieved(t *testing.T) {
	r := newRig(t)
	res := r.do("GET", "/v1/catalog", "", without("Authorization"), with("X-Forwarded-For", "203.0.113.9"),
		with("X-Client-Cert", "cert"), with("X-Real-Ip", "203.0.113.9"), with("Forwarded", "for=203.0.113.9"))
	require.Equal(t, 401, res.status)
	require.Equal(t, []string{"address:127.0.0.1"}, r.fake.limits)
}

func TestAddressKey(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:99": "address:192.0.2.1", "[::ffff:192.0.2.1]:9": "address:192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:9": "address:2001:db8:1:2::/64", "[fe80::1%eth0]:9": "address:fe80::/64",
		"": "address:", "x:1": "address:",
	} {
		require.Equal(t, want, addressKey(remote), remote)
	}
}

// B70: paging limits and parameters.
func TestParameters(t *testing.T) {
	r := newRig(t)
	proof := "/v1/ledger/entries/7/proof"
	for target, rule := range map[string]string{
		"/v1/mailbox?limit=-1": "/limit type", "/v1/mailbox?limit=0": "/limit minimum", "/v1/mailbox?limit=1000000000": "/limit maximum",
		"/v1/mailbox?limit=501": "/limit maximum", "/v1/mailbox?limit=1e2": "/limit type", "/v1/mailbox?limit=": "/limit type",
		"/v1/mailbox?limit=07": "/limit type", "/v1/mailbox?limit=99999999999999999999999": "/limit type",
		"/v1/mailbox?limit=1&limit=2": "/limit max_items", "/v1/mailbox?cursor=x": " additional_property",
		"/v1/mailbox?limit=1;x=2": " additional_property", "/v1/mailbox?%zz": " additional_property",
		"/v1/catalog?access_token=desk-token": " additional_property",
		proof + "?tree_size=0":                "/tree_size minimum", proof + "?row=-0": "/row type", proof + "?row=100000": "/row maximum",
		proof + "?tree_size=9007199254740992": "/tree_size maximum",
	} {
		t.Run(target, func(t *testing.T) {
			res := r.do("GET", target, "")
			require.Equal(t, 400, res.status)
			p := res.problem(t)
			require.Equal(t, "parameter", p.Reason)
			require.Len(t, p.Errors, 1)
			require.Equal(t, rule, string(p.Errors[0].Pointer)+" "+p.Errors[0].Rule)
		})
	}
	require.Zero(t, r.fake.calls)
	require.Equal(t, 200, r.do("GET", "/v1/mailbox?limit=1", "").status)
	require.Equal(t, 200, r.do("GET", proof+"?tree_size=9&row=0", "").status)
	require.Equal(t, 404, r.do("GET", "/v1/ledger/entries/-1/proof", "").status)
	require.Equal(t, 404, r.do("GET", "/v1/ledger/entries/9223372036854775808/proof", "").status)
}

func TestTilePaths(t *testing.T) {
	r := newRig(t)
	for path, status := range map[string]int{
		"8/0/000": 200, "8/1/x001/234.p/5": 200, "8/data/000": 404, "8/0/000.p/256": 404, "8/0/0": 404, "99/0/000": 404, "8/0": 404, "8/0/x00/000": 404,
	} {
		require.Equal(t, status, r.do("GET", "/v1/ledger/tile/"+path, "").status, path)
	}
}

// B13, B14: media types, charsets and codings.
func TestMediaTypes(t *testing.T) {
	r := newRig(t)
	const records = "/v1/records/service_request"
	for name, c := range map[string]struct {
		status int
		edit   edit
	}{
		"none":               {415, without("Content-Type")},
		"empty":              {415, with("Content-Type", "")},
		"text":               {415, with("Content-Type", "text/plain")},
		"two":                {415, with("Content-Type", MediaJSON, MediaXML)},
		"utf-16":             {415, with("Content-Type", "application/json; charset=utf-16")},
		"latin1":             {415, with("Content-Type", "application/json; charset=iso-8859-1")},
		"other parameter":    {415, with("Content-Type", "application/json; profile=x")},
		"patch":              {415, with("Content-Type", "application/json-patch+json")},
		"form":               {415, with("Content-Type", mediaForm)},
		"broken":             {415, with("Content-Type", "application/json; charset")},
		"gzip":               {415, with("Content-Encoding", "gzip")},
		"gzip twice":         {415, with("Content-Encoding", "gzip, gzip")},
		"identity then gzip": {415, with("Content-Encoding", "identity", "gzip")},
		"br":                 {415, with("Content-Encoding", "br")},
		"identity":           {202, with("Content-Encoding", "identity")},
		"utf-8":              {202, with("Content-Type", "Application/JSON; Charset=\"UTF-8\"")},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.status, r.do("POST", records, "{}", c.edit).status)
		})
	}
	require.Equal(t, 400, r.do("GET", "/v1/catalog", "{}").status, "a body where none belongs")
	require.Equal(t, MediaJSON, r.fake.seen.MediaType)
}

func TestIdempotencyKeys(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		values []string
		key    string // "": refused
	}{
		"token": {[]string{"abc-1"}, "abc-1"}, "quoted": {[]string{`"abc-1"`}, "abc-1"}, "quoted with space": {[]string{`"a b"`}, "a b"},
		"escapes": {[]string{`"a\"\\b"`}, `a"\b`}, "128": {[]string{strings.Repeat("k", 128)}, strings.Repeat("k", 128)},
		"quoted 128 escaped": {[]string{`"` + strings.Repeat(`\\`, 128) + `"`}, strings.Repeat(`\`, 128)},
		"empty":              {[]string{""}, ""}, "empty quoted": {[]string{`""`}, ""}, "129": {[]string{strings.Repeat("k", 129)}, ""},
		"10 KB": {[]string{strings.Repeat("k", 10<<10)}, ""}, "space": {[]string{"a b"}, ""}, "open quote": {[]string{`"abc`}, ""},
		"quote inside": {[]string{`"a"b"`}, ""}, "bad escape": {[]string{`"a\n"`}, ""}, "escape at the end": {[]string{`"a\"`}, ""},
		"not ASCII": {[]string{"chiàve"}, ""}, "two": {[]string{"a", "b"}, ""}, "none": {nil, ""}, "parameters": {[]string{`"a";x=1`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.do("POST", "/v1/records/service_request", "{}", with("Idempotency-Key", c.values...))
			if c.key == "" {
				require.Equal(t, 400, res.status)
				require.Contains(t, res.problem(t).Reason, "idempotency_key_")
				return
			}
			require.Equal(t, 202, res.status, string(res.body))
			require.Equal(t, c.key, r.fake.seen.Key)
		})
	}
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{"a", `"a"`, `"\\"`, `"`, "", `"a\"b"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := idempotencyKey(http.Header{"Idempotency-Key": {s}})
		if err != nil {
			return
		}
		if len(key) == 0 || len(key) > maxKey {
			t.Fatal("out of bounds")
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		again, err := idempotencyKey(http.Header{"Idempotency-Key": {quoted}})
		if err != nil || again != key {
			t.Fatalf("quoted form is another key: %v", err)
		}
	})
}

func TestBodyBounds(t *testing.T) {
	r := newRig(t, func(o *Options) { o.BodyBytes, o.BodyBudget = 1<<20, 2<<20 })
	push := func(body io.Reader, media string) reply {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.srv.URL+"/v1/records/service_request", body)
		require.NoError(t, err)
		req.Header = http.Header{"Authorization": {"Bearer " + deskToken}, "Content-Type": {media}, "Idempotency-Key": {"k"}}
		return r.send(req)
	}
	exact := strings.Repeat("a", 1<<20)
	require.Equal(t, 202, push(strings.NewReader(exact), MediaXML).status)
	require.Equal(t, exact, string(r.fake.seen.Body.Reveal()))
	require.Equal(t, 413, push(strings.NewReader(exact+"a"), MediaXML).status)

	chunked := struct{ io.Reader }{strings.NewReader(exact)} // no length is known
	require.Equal(t, 202, push(chunked, MediaXML).status)
	require.Equal(t, exact, string(r.fake.seen.Body.Reveal()))
	chunked = struct{ io.Reader }{strings.NewReader(exact + "a")}
	require.Equal(t, 413, push(chunked, MediaXML).status)

	require.Equal(t, 202, push(strings.NewReader(strings.Repeat("{}\n", MaxLines)), MediaNDJSON).status)
	require.Equal(t, 202, push(strings.NewReader(strings.Repeat("{}\n", MaxLines-1)+"{}"), MediaNDJSON).status)
	res := push(strings.NewReader(strings.Repeat("{}\n", MaxLines)+"{}"), MediaNDJSON)
	require.Equal(t, 413, res.status)
	require.Equal(t, "max_lines", res.problem(t).Errors[0].Rule)
	requireBudget(t, r.api, 2<<20)
}

// requireBudget polls until all bodies have given their place back.
func requireBudget(t *testing.T, a *API, want int64) {
	t.Helper()
	require.Eventually(t, func() bool { return a.budget.left.Load() == want }, 5*time.Second, time.Millisecond)
}

func TestBodiesTogetherAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.BodyBytes, o.BodyBudget = 1<<20, 1<<20 })
	entered, leave := make(chan struct{}), make(chan struct{})
	r.fake.push = func(PushRequest) (*Acknowledgement, error) {
		close(entered)
		<-leave
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "no")
	}
	first := make(chan int)
	go func() {
		first <- r.do("POST", "/v1/records/service_request", strings.Repeat(" ", 1<<20)).status
	}()
	<-entered
	res := r.do("POST", "/v1/consents/search", "{}")
	require.Equal(t, 503, res.status)
	require.Equal(t, "overloaded", res.problem(t).Reason)
	require.Equal(t, "1", res.header.Get("Retry-After"))
	close(leave)
	require.Equal(t, 422, <-first)
	requireBudget(t, r.api, 1<<20)
	require.Equal(t, 422, r.do("POST", "/v1/consents/search", "{}").status, "there is place again")
}

func TestCutBodyIsNotPushed(t *testing.T) {
	r := newRig(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.srv.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/records/service_request HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: k\r\nContent-Length: 100\r\n\r\n{}", deskToken)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, 400, res.StatusCode)
	require.Zero(t, r.fake.calls)
}

func TestOptionsAreRequired(t *testing.T) {
	_, err := New(Options{})
	require.Error(t, err)
	o := options(newFake(), io.Discard)
	o.BodyBytes, o.BodyBudget = 10, 5
	_, err = New(o)
	require.Error(t, err)
	for _, prefix := range []string{"", "/", "waas/", "/waas", "/v1/x/", "/wa as/", "/../"} {
		o := options(newFake(), io.Discard)
		o.Mounts = []Mount{{Prefix: prefix, Serve: func(http.ResponseWriter, *http.Request, Caller) {}}}
		_, err = New(o)
		require.Error(t, err, prefix)
	}
	_, err = NewServer(ServerOptions{})
	require.Error(t, err)
}

func TestMount(t *testing.T) {
	var got []string
	service := access.Expect{EService: access.EService{ID: "waas"}}
	r := newRig(t, func(o *Options) {
		o.Mounts = []Mount{{Prefix: "/waas/livorno/", Expect: service, Serve: func(w http.ResponseWriter, r *http.Request, c Caller) {
			got = append(got, r.Method+" "+r.URL.Path+" "+string(c.System))
			w.WriteHeader(http.StatusNoContent)
		}}}
	})
	res := r.do("GET", "/waas/livorno/flussi", "")
	require.Equal(t, 204, res.status)
	require.Equal(t, "9", res.header.Get("X-RateLimit-Remaining"))
	require.Equal(t, 401, r.do("GET", "/waas/livorno/flussi", "", without("Authorization")).status)
	require.Equal(t, 404, r.do("GET", "/waas/livorno", "").status)
	require.Equal(t, 404, r.do("GET", "/waas/livorno/../x", "").status)
	require.Equal(t, []string{"GET /waas/livorno/flussi desk"}, got)
	require.Contains(t, r.fake.marks, "/waas/livorno/ No Content ok")
}
