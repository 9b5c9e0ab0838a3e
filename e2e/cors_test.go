package e2e

import (
	"context"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// asked is what a web page can read of the response to its request. If Error is not empty, the
// other fields are empty.
type asked struct {
	Status int
	Audit  string // the response's header Audit-Id
	Body   string
	Error  string
}

// whoAmIURI is a path to which a client sends a POST. The response contains the user that the API
// server has identified.
const whoAmIURI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

const whoAmIBody = `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`

// pageRequests are requests that a web page sends through edge, and the responses that the page
// must be able to read. want is a part of the response's body.
var pageRequests = []struct {
	method, path, body, credentials string
	status                          int
	want                            string
}{
	{"GET", podsURI, "", "omit", 200, "PodList"},
	{"POST", whoAmIURI, whoAmIBody, "omit", 201, testbed.UsernamePrefix + "alice"},
	{"DELETE", podsURI + "/nothing", "", "omit", 403, "cannot delete resource"},
	{"GET", podsURI + "/shell/log?limitBytes=1&follow=false&tailLines=0", "", "omit", 200, ""},
	// status code 0: if the request carries the browser's own credentials ("include"), a page must
	// never be able to read the response
	{"GET", podsURI, "", "include", 0, ""},
}

// TestBrowserCORS checks a web page that sends requests with its own token. A page of an allowed
// origin must be able to read the responses, also refusals, directly from edge and through the load
// balancer. A page of another origin must not. That page can still open a WebSocket with its token,
// because CORS does not apply to WebSockets.
func TestBrowserCORS(t *testing.T) {
	t.Parallel()
	s := sites[cluster.New]
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Args: []string{
		"--cors-allowed-origins=^" + regexp.QuoteMeta(console.URL) + "$", "--anonymous-paths=/version",
	}})
	alb, err := bed.StartALB(t.Context(), edge.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]cluster.Access{direct: edge.Access(tokens["alice"]), balanced: alb.Access(tokens["alice"])} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		seen, said := fetchFrom(ctx, t, console.URL, to)
		for i, c := range pageRequests {
			a := seen[i]
			switch {
			case c.credentials == "include":
				if a.Error == "" || !strings.Contains(strings.Join(said, "\n"), "Access-Control-Allow-Credentials") {
					t.Errorf("%s, with credentials: %+v; browser console: %q", name, a, said)
				}
			case a.Error != "" || a.Status != c.status || !strings.Contains(a.Body, c.want) || a.Audit == "":
				t.Errorf("%s, %s %s: %.500v; browser console: %q", name, c.method, c.path, a, said)
			}
		}
		bad := to
		bad.Token = "no.token.atall"
		if seen, _ := fetchFrom(ctx, t, console.URL, bad); seen[0].Status != 401 || !strings.Contains(seen[0].Body, "Unauthorized") {
			t.Errorf("%s, a bad token: %+v", name, seen[0])
		}
		bad.Token = ""
		var version struct{ Answers []asked }
		visit := clients.Visit{Page: console.URL, Verb: "ask", Args: map[string]any{"url": to.Server, "requests": []map[string]string{{"method": "GET", "path": "/version"}}}}
		if _, err := browsers[clients.Chromium].Visit(ctx, visit, &version); err != nil || version.Answers[0].Status != 200 {
			t.Errorf("%s, /version without a token: %+v, %v", name, version, err)
		}
		seen, said = fetchFrom(ctx, t, stranger.URL, to)
		for i, a := range seen {
			if a.Error == "" || !strings.Contains(strings.Join(said, "\n"), "blocked by CORS policy") {
				t.Errorf("%s, stranger, %v: %+v; browser console: %q", name, pageRequests[i], a, said)
			}
		}
		if err := knock(ctx, stranger.URL, to, ""); err != nil {
			t.Errorf("%s, a WebSocket: %v", name, err)
		}
	}
	// Without --cors-allowed-origins, the flag --allowed-origins must not allow a page to read
	// responses.
	if seen, said := fetchFrom(t.Context(), t, console.URL, s.access(direct, tokens["alice"])); seen[0].Error == "" {
		t.Errorf("without --cors-allowed-origins: %+v, %q", seen, said)
	}
}

// fetchFrom makes the browser open page, which sends pageRequests. seen are the responses, and said
// the messages in the browser's console.
func fetchFrom(ctx context.Context, t *testing.T, page string, to cluster.Access) (seen []asked, said []string) {
	t.Helper()
	var requests []map[string]string
	for _, c := range pageRequests {
		requests = append(requests, map[string]string{"method": c.method, "path": c.path, "body": c.body, "credentials": c.credentials})
	}
	var all struct{ Answers []asked }
	said, err := browsers[clients.Chromium].Visit(ctx, clients.Visit{Page: page, Verb: "ask", Args: map[string]any{"url": to.Server, "token": to.Token, "requests": requests}}, &all)
	if err != nil || len(all.Answers) != len(requests) {
		t.Fatalf("%+v, %v", all, err)
	}
	return all.Answers, said
}

// TestCORSAgainstAPIServer compares edge with a kube-apiserver that has the same
// --cors-allowed-origins. edge must allow the same origins; bridge/cors.go lists the only
// differences. The API server behind edge allows one more origin, but edge must not forward that
// API server's CORS headers.
func TestCORSAgainstAPIServer(t *testing.T) {
	t.Parallel()
	s := sites[cluster.New]
	const patterns, theirs = `^https://console\.example\.com(:|$),//([a-z]+\.)?apps\.example(:|$)`, `,^https://theirs\.example$`
	upstream := startReplica(t, s.cluster, append(testbed.IssuerFlags(idp), "--anonymous-auth=false", "--cors-allowed-origins="+patterns+theirs)...).Access
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Upstream: upstream, Args: []string{"--cors-allowed-origins=" + patterns}})
	preflight := []string{"Access-Control-Request-Method: DELETE", "Access-Control-Request-Headers: authorization"}
	for _, origin := range []string{
		"", "https://console.example.com", "https://console.example.com:8443", "http://a.apps.example", "https://apps.example:1",
		"https://console.example.com.evil.example", "https://evilconsole.example.com", "http://console.example.com", "https://A.apps.example",
		"https://evil-apps.example", "null", "https://theirs.example",
	} {
		for _, c := range []struct {
			name, method, uri, token string
			header                   []string
			// expected status code of edge's response; 0: the same as the API server's
			code int
		}{
			{"preflight", "OPTIONS", podsURI, "", preflight, 0},
			{"preflight of a path that is none", "OPTIONS", "/nothing", "", preflight, 0},
			{"OPTIONS that is no preflight", "OPTIONS", podsURI, "", nil, 401},
			{"GET", "GET", podsURI, tokens["alice"], nil, 0},
			{"HEAD", "HEAD", "/version", tokens["alice"], nil, 0},
			{"GET without a token", "GET", podsURI, "", nil, 0},
			{"forbidden", "GET", "/api/v1/secrets", tokens["alice"], nil, 0},
			{"not found", "GET", "/nothing", tokens["alice"], nil, 0},
			{"a watch", "GET", podsURI + "?watch=true&timeoutSeconds=1&resourceVersion=0", tokens["alice"], nil, 0},
		} {
			header := slices.Clone(c.header)
			if origin != "" {
				header = append(header, "Origin: "+origin)
			}
			there, here := upstream, edge.Access(c.token)
			there.Token = c.token
			want, got := raw(t.Context(), t, there, c.method, c.uri, header...), raw(t.Context(), t, here, c.method, c.uri, header...)
			compareCORS(t, c.name+" from "+origin, origin == "https://theirs.example", c.code, want, got)
		}
	}
}

// compareCORS reports each unexpected difference between edge's response (got) and the API server's
// (want).
func compareCORS(t *testing.T, name string, theirs bool, code int, want, got answer) {
	t.Helper()
	allowed := want.header.Get("Access-Control-Allow-Origin")
	if theirs {
		allowed = ""
		if code == 0 && want.code == http.StatusNoContent {
			code = http.StatusUnauthorized
		}
	}
	if code == 0 {
		code = want.code
	}
	cors := maps.Clone(got.header)
	maps.DeleteFunc(cors, func(name string, _ []string) bool { return !strings.HasPrefix(name, "Access-Control-") })
	if got.code != code || cors.Get("Access-Control-Allow-Origin") != allowed {
		t.Errorf("%s: %d %v, want %d %q", name, got.code, cors, code, allowed)
	}
	if !slices.ContainsFunc(got.header["Vary"], func(s string) bool { return strings.Contains(s, "Origin") }) {
		t.Errorf("%s: Vary is %q", name, got.header["Vary"])
	}
	if allowed == "" {
		if len(cors) > 0 {
			t.Errorf("%s: %v", name, cors)
		}
		return
	}
	if _, ok := cors["Access-Control-Allow-Credentials"]; ok || want.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("%s: credentials: %v, at the API server %v", name, cors, want.header)
	}
	more := []string{"Access-Control-Expose-Headers"}
	if got.code == http.StatusNoContent {
		more = []string{"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"}
	}
	for _, header := range more {
		mine := strings.Split(cors.Get(header), ", ")
		for theirs := range strings.SplitSeq(want.header.Get(header), ", ") {
			if cors.Get(header) == "" || theirs != "" && !slices.Contains(mine, theirs) {
				t.Errorf("%s: %s is %q, and %q at the API server", name, header, mine, want.header.Get(header))
			}
		}
	}
}

// TestCORSPatternsAgainstAPIServer checks that edge accepts exactly the regular expressions for
// origins that kube-apiserver accepts.
func TestCORSPatternsAgainstAPIServer(t *testing.T) {
	t.Parallel()
	program, err := bed.BuildEdge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// says runs edge or kube-apiserver with a flag and reports whether the program's output
	// contains the text in the parameter words. Both programs exit at once, because other required
	// flags are missing; the test needs only their error about this flag.
	says := func(flag string, words string, argv ...string) bool {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		said, err := exec.CommandContext(ctx, argv[0], append(argv[1:], flag)...).CombinedOutput()
		if err == nil || ctx.Err() != nil {
			t.Fatalf("%s: the program did not exit by itself", argv[0])
		}
		return strings.Contains(string(said), words)
	}
	dir := t.TempDir()
	for _, pattern := range []string{
		`^https://a\.example$`, `//a\.example(:|$)`, "^null$", "a^:", ".*", "https", `a\.example$`, `//a\.example`, "^https", "^(a$", `"",^a$`,
	} {
		flag := "--cors-allowed-origins=" + pattern
		theirs := says(flag, "in --cors-allowed-origins", bed.Bin.New.APIServer, "--etcd-servers=http://127.0.0.1:1", "--cert-dir="+dir) ||
			says(flag, "--cors-allowed-origins has", bed.Bin.New.APIServer, "--etcd-servers=http://127.0.0.1:1", "--cert-dir="+dir)
		ours := says(flag, "CORS allowed origin", program, "serve", "--server=https://127.0.0.1:1", "--token=x", "--token-passthrough",
			"--tls-cert-file="+filepath.Join(dir, "none"), "--tls-private-key-file="+filepath.Join(dir, "none"))
		if ours != theirs {
			t.Errorf("%s: kube-apiserver refuses it: %v, edge: %v", pattern, theirs, ours)
		}
	}
}
