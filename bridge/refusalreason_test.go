package bridge_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
)

// asker is the API server's authorizer in these tests: it gives the same answer to every access
// review.
type asker struct {
	allowed bool
	err     error
}

func (a asker) Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	return a.allowed, "", a.err
}

// identifying makes edge authenticate every request as u, and apply a real impersonation policy.
func identifying(u *user.DefaultInfo, ask impersonate.Asker) func(*bridge.Config) {
	return func(c *bridge.Config) {
		policy := must(impersonate.NewPolicy(impersonate.PolicyConfig{Ask: ask}))
		c.Identify = func(r *http.Request) (impersonate.Identity, error) {
			return policy.Identity(r.Context(), u, impersonate.Request{Header: r.Header})
		}
	}
}

// failing makes edge refuse every request as unauthenticated, with err.
func failing(err error) func(*bridge.Config) {
	return func(c *bridge.Config) {
		c.Identify = func(*http.Request) (impersonate.Identity, error) { return impersonate.Identity{}, err }
	}
}

// TestReasons checks that the Observer receives a Reason, which is one word, for each refusal that
// edge itself produces. The table has a row for each place in the code that refuses.
func TestReasons(t *testing.T) {
	t.Parallel()
	get := []string{"GET /api HTTP/1.1", "Host: e"}
	v4 := "Sec-WebSocket-Protocol: v4.channel.k8s.io"
	exec := askWebSocket(execPath, v4)
	instead := func(lines []string, from, to string) []string {
		return strings.Split(strings.Replace(strings.Join(lines, "\n"), from, to, 1), "\n")
	}
	as := append(slices.Clone(get), "Impersonate-User: bob")
	denying := func(c *bridge.Config) {
		c.Streaming = bridge.StreamingWebSocket
		c.Review = func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error {
			return forbidden
		}
	}
	lost := configFor(serveTLS(t, http.NotFoundHandler()))
	lost.Host = "https://127.0.0.1:1"
	switching := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := take(t, w)
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	})
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	untaking := func(f *http2.Framer, stream uint32) bool {
		f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		return true
	}
	ending := func(*http2.Framer, uint32) bool { return false }
	for name, test := range map[string]struct {
		ask    []string
		body   string
		code   int
		reason bridge.Reason
		change func(*bridge.Config)
		api    http.Handler // nil: an API server that answers everything
		up     *rest.Config // configuration for another API server; nil: api
		before func(*world)
	}{
		"nobody":              {ask: get, code: 401, reason: "credential", change: failing(apierrors.NewUnauthorized("Unauthorized"))},
		"nobody knows yet":    {ask: get, code: 503, reason: "credential", change: failing(apierrors.NewServiceUnavailable("no keys"))},
		"a system name":       {ask: get, code: 403, reason: "identity", change: identifying(&user.DefaultInfo{Name: "system:admin"}, nil)},
		"no name":             {ask: get, code: 403, reason: "identity", change: identifying(&user.DefaultInfo{}, nil)},
		"no name, by another": {ask: get, code: 403, reason: "identity", change: failing(apierrors.NewForbidden(authorizationv1.Resource("x"), "", nil))},
		"a name that is empty": {ask: get, code: 403, reason: "identity", change: func(c *bridge.Config) {
			c.Identify = func(*http.Request) (id impersonate.Identity, _ error) { return id, nil }
		}},
		"may not impersonate":     {ask: as, code: 403, reason: "impersonation", change: identifying(&user.DefaultInfo{Name: "jane"}, asker{})},
		"a wish that is none":     {ask: append(as, "Impersonate-Users: x"), code: 400, reason: "impersonation", change: identifying(&user.DefaultInfo{Name: "jane"}, asker{})},
		"a review that fails":     {ask: as, code: 500, reason: "review", change: identifying(&user.DefaultInfo{Name: "jane"}, nil)},
		"a bug":                   {ask: get, code: 500, reason: "internal", change: failing(errors.New("a bug"))},
		"not on record":           {ask: get, code: 500, reason: "audit", change: func(c *bridge.Config) { c.Observe.(*witness).refuse = errors.New("disk full") }},
		"preflight":               {ask: []string{"OPTIONS /api HTTP/1.1", "Host: e", "Origin: https://x", "Access-Control-Request-Method: GET"}, code: 401, reason: "origin", change: failing(apierrors.NewUnauthorized("Unauthorized"))},
		"TRACE":                   {ask: []string{"TRACE /api HTTP/1.1", "Host: e"}, code: 405, reason: "method"},
		"CONNECT":                 {ask: []string{"CONNECT e:443 HTTP/1.1", "Host: e:443"}, code: 405, reason: "method"},
		"a dot segment":           {ask: []string{"GET /a/../b HTTP/1.1", "Host: e"}, code: 400, reason: "path"},
		"no path":                 {ask: []string{"GET x:y HTTP/1.1", "Host: e"}, code: 400, reason: "path"},
		"exec in disguise":        {ask: instead(exec, "/pods/", "//pods/"), code: 400, reason: "path"},
		"a token in the URL":      {ask: []string{"GET /api?access_token=eyJ.e30.x HTTP/1.1", "Host: e"}, code: 400, reason: "url_token"},
		"its own token, there":    {ask: get, code: 400, reason: "url_token", change: failing(bridge.TokenInURL())},
		"a foreign page":          {ask: append(slices.Clone(exec), "Origin: https://x"), code: 403, reason: "origin"},
		"a foreign page writes":   {ask: []string{"POST /api HTTP/1.1", "Host: e", "Sec-Fetch-Site: cross-site"}, code: 403, reason: "origin"},
		"a body":                  {ask: append(slices.Clone(exec), "Content-Length: 1"), body: "x", code: 400, reason: "dialect"},
		"no Connection":           {ask: instead(exec, "Connection: Upgrade", "X: y"), code: 400, reason: "dialect"},
		"HTTP/1.0":                {ask: instead(exec, "HTTP/1.1", "HTTP/1.0"), code: 400, reason: "dialect"},
		"another protocol":        {ask: instead(exec, "Upgrade: websocket", "Upgrade: h2c"), code: 400, reason: "dialect"},
		"a WebSocket by POST":     {ask: instead(exec, "GET", "POST"), code: 400, reason: "dialect"},
		"an old WebSocket":        {ask: instead(exec, "Version: 13", "Version: 8"), code: 400, reason: "dialect"},
		"no key":                  {ask: instead(exec, "Key: ", "Keys: "), code: 400, reason: "dialect"},
		"a short key of a tunnel": {ask: instead(upgrades["tunnel"], "Key: ", "Key: x"), code: 400, reason: "dialect"},
		"an odd port":             {ask: instead(upgrades["ports"], "ports=80", "ports=x"), code: 400, reason: "dialect"},
		"no such subprotocol":     {ask: instead(exec, "v4.", "v7."), code: 403, reason: "dialect"},
		"SPDY by DELETE":          {ask: instead(upgrades["spdy exec"], "POST", "DELETE"), code: 400, reason: "dialect"},
		"SPDY by a proxy, DELETE": {ask: instead(instead(upgrades["spdy exec"], "POST", "DELETE"), execPath, proxyPath), code: 400, reason: "dialect"},
		"SPDY without a version":  {ask: askSPDY(execPath), code: 400, reason: "dialect"},
		"SPDY of no version":      {ask: askSPDY(execPath, "v7"), code: 403, reason: "dialect"},
		"too many streams": {ask: exec, code: 429, reason: "limit", change: func(c *bridge.Config) { c.MaxSessions = 1 },
			before: func(w *world) { w.rawWebSocket(w.T, execPath, "v4.channel.k8s.io") }},
		"draining":            {ask: exec, code: 503, reason: "draining", before: func(w *world) { w.handler.Drain(w.Context()) }},
		"may not create":      {ask: exec, code: 403, reason: "review", change: denying},
		"may not, by a proxy": {ask: askWebSocket("/api/v1/nodes/n/proxy/exec/default/web/c"), code: 403, reason: "review", change: denying},
		"no Upgrade":          {ask: []string{"POST " + execPath + " HTTP/1.1", "Host: e", "Content-Length: 0"}, code: 400, reason: "upgrade_required"},
		"a broken body":       {ask: []string{"POST /api HTTP/1.1", "Host: e", "Transfer-Encoding: chunked"}, body: "3\r\nabc\r\nxyz\r\n", code: 400, reason: "body"},
		"not reached":         {ask: get, code: 502, reason: "upstream", up: lost},
		"no watch reached":    {ask: []string{"GET /api/v1/pods?watch=1 HTTP/1.1", "Host: e"}, code: 502, reason: "upstream", up: lost},
		"no stream reached":   {ask: exec, code: 502, reason: "upstream", up: lost},
		"not taken":           {ask: get, code: 503, reason: "upstream", up: framesAPI(t, untaking)},
		"no answer":           {ask: get, code: 502, reason: "upstream", up: framesAPI(t, ending)},
		"a wrong 101":         {ask: exec, code: 502, reason: "upstream", api: versionless(switching)},
		"no WebSocket there":  {ask: exec, code: 502, reason: "upstream", change: speaking(bridge.StreamingWebSocket), api: versionless(bare)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := new(witness)
			metrics, change := measured(t)
			w := &world{T: t, log: new(syncBuffer)}
			up := test.up
			if up == nil {
				if test.api == nil {
					api, _ := running(t)
					api.rest = func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }
					test.api = api
				}
				w.api = serveTLS(t, test.api)
				up = configFor(w.api)
			}
			w.front(up, change, func(c *bridge.Config) { c.Observe = seen }, func(c *bridge.Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			number := 1
			if test.before != nil {
				test.before(w)
				seen.mu.Lock()
				number = len(seen.seen) + 1
				seen.mu.Unlock()
			}
			c := dialRaw(t, w.edge)
			c.ask(test.body, test.ask...)
			if resp := c.answer(); resp.StatusCode != test.code {
				t.Errorf("the answer is %s, want %d", resp.Status, test.code)
			}
			if _, end := seen.account(w, number); end.Refusal != test.reason || end.Code != test.code {
				t.Errorf("%d because of %q, want %q", end.Code, end.Refusal, test.reason)
			}
			w.eventually("its count", func() bool { return metrics.value("edge_request_refusals_total", "reason="+string(test.reason)) >= 1 })
			w.edge.CloseClientConnections() // ends the stream that the row "too many streams" has opened
		})
	}
}

// TestReasonsAreDocumented checks that docs/security.md lists exactly the reasons of the code, in
// the same order.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	var words, listed []string
	for _, d := range must(parser.ParseFile(token.NewFileSet(), "internal/status/refusalreason.go", nil, 0)).Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			words = append(words, must(strconv.Unquote(s.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)))
		}
	}
	_, table, _ := strings.Cut(string(must(os.ReadFile("../docs/security.md"))), "| `refusal` |")
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		if word, ok := strings.CutPrefix(line, "| `"); ok {
			listed = append(listed, word[:strings.IndexByte(word, '`')])
		}
	}
	if len(words) == 0 || !slices.Equal(words, listed) {
		t.Errorf("the code has %q,\nthe page %q", words, listed)
	}
}

// TestReasonOwnCredential checks that edge reports ReasonOwnCredential, for a plain request and for
// upgrades, if the API server refuses edge's own credential.
func TestReasonOwnCredential(t *testing.T) {
	t.Parallel()
	g := &guarded{behind: echoBody}
	w, own, _ := tokenWorld(t, g)
	seen := new(witness)
	w.front(nil, func(c *bridge.Config) { c.Credential, c.Observe = own, seen })
	g.accepts.Store("another")
	for n, ask := range [][]string{{"GET /api HTTP/1.1", "Host: e"}, upgrades["websocket v5"], upgrades["spdy exec"], upgrades["opaque"]} {
		c := dialRaw(t, w.edge)
		c.ask("", ask...)
		c.answer()
		if _, end := seen.account(w, n+1); end.Code != 503 || end.Refusal != bridge.ReasonOwnCredential {
			t.Errorf("%s: %d because of %q", ask[0], end.Code, end.Refusal)
		}
	}
}

// TestUpstreamsReasons checks that edge reports no Reason for an answer of the API server, whatever
// its code, and none for a stream.
func TestUpstreamsReasons(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 302, 400, 401, 403, 404, 429, 500, 503} {
		answer := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, code, `{"kind":"Status","code":400}`) }
		seen := new(witness)
		w := newWorld(t, (&apiServer{refuse: answer, rest: answer}).start(t), func(c *bridge.Config) { c.Observe = seen })
		n := 0
		asks := [][]string{{"GET /api HTTP/1.1", "Host: e"}, {"POST " + execPath + " HTTP/1.1", "Host: e", "Content-Length: 0"}}
		for _, name := range []string{"websocket v5", "spdy exec", "tunnel", "opaque"} {
			asks = append(asks, upgrades[name])
		}
		for _, ask := range asks {
			c := dialRaw(t, w.edge)
			c.ask("", ask...)
			c.answer()
			n++
			if _, end := seen.account(w, n); end.Code != code || end.Refusal != "" {
				t.Errorf("%s: %d because of %q", ask[0], end.Code, end.Refusal)
			}
			c.Close()
		}
	}
	seen := new(witness)
	w := newWorld(t, (&apiServer{run: func(*process) error { return exitError(1) }}).start(t), func(c *bridge.Config) { c.Observe = seen })
	clientNamed("websocket v5").do(t, w.edge, command{})
	if _, end := seen.account(w, 1); end.Code != 101 || end.Refusal != "" {
		t.Errorf("a stream: %d because of %q", end.Code, end.Refusal)
	}
}

// TestUnwatched checks that edge refuses correctly without an Observer.
func TestUnwatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainAPI(func(http.ResponseWriter, *http.Request) {}), refusing)
	if resp := must(w.client(t, true).Get(w.edge.URL)); resp.Body.Close() != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Error(resp.Status)
	}
}

// answerers are the functions that begin an answer. The value states whose answer it is.
var answerers = map[string]string{
	"answer":                     "edge, with a Reason",
	"cachedRefusalError.write":   "the author of the cached refusal, with a Reason",
	"crossOrigin.serve":          "edge, for a preflight, which is not recorded",
	"passOn":                     "the API server",
	"Hijack":                     "edge or the API server, with a 101",
	"answerRecorder.WriteHeader": "its caller",
	"corsWriter.WriteHeader":     "its caller",
	"corsWriter.Write":           "its caller",
	"corsWriter.FlushError":      "its caller",
}

// statuses are the functions that create a Status. The value states where the Status goes.
var statuses = map[string]string{
	"Failure": "to New, which requires a Reason; to a stream; to callers in edge",
}

// TestAnswerers checks edge's source code: only the functions in the map answerers may begin an
// answer, and only those in the map statuses may create a Status.
func TestAnswerers(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	begins, makes := map[string]bool{}, map[string]bool{}
	for _, name := range append(must(filepath.Glob("*.go")), must(filepath.Glob("internal/*/*.go"))...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, d := range must(parser.ParseFile(files, name, nil, 0)).Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					called, ok := n.Fun.(*ast.SelectorExpr)
					if !ok {
						break
					}
					of, _ := called.X.(*ast.Ident)
					if called.Sel.Name == "WriteHeader" || of != nil && of.Name == "http" && slices.Contains([]string{"Error", "NotFound", "Redirect"}, called.Sel.Name) {
						begins[nameOf(f)] = true
					}
					if of != nil && of.Name == "apierrors" && strings.HasPrefix(called.Sel.Name, "New") && nameOf(f) != "apiWords" {
						makes[nameOf(f)] = true
					}
				case *ast.CompositeLit:
					if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Status" {
						makes[nameOf(f)] = true
					}
				}
				return true
			})
		}
	}
	for what, c := range map[string]struct {
		found map[string]bool
		known map[string]string
	}{"begins an answer": {begins, answerers}, "makes a Status": {makes, statuses}} {
		for name := range c.found {
			if c.known[name] == "" {
				t.Errorf("%s %s: use status.New and status.Refuse, which require a Reason", name, what)
			}
		}
		for name := range c.known {
			if !c.found[name] {
				t.Errorf("%s no longer %s", name, what)
			}
		}
	}
}

// nameOf returns a function's name, with the type of its receiver.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	return of.(*ast.Ident).Name + "." + f.Name.Name
}
