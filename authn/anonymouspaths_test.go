package authn

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
)

func TestAnonymousPathsAreChecked(t *testing.T) {
	for text, good := range map[string]bool{
		"/": true, "/version": true, "/version/": true, "/healthz": true, "/livez/ping": true, "/readyz": true, "/metrics": true,
		"/api": true, "/api/v1": true, "/apis": true, "/apis/apps": true, "/apis/apps/v1": true, "/apis/apps/v1/": true, "/openapi/v2": true, "/openapi/v3": true,
		"/openapi/v3/apis/apps/v1": true, "/.well-known/openid-configuration": true, "/openid/v1/jwks": true,
		"": false, "version": false, "*": false, "/version*": false, "/version?x": false, "/version#x": false, "/%76ersion": false, "/a%2fb": false,
		"//version": false, "/a//b": false, "/version//": false, "/./version": false, "/a/../version": false, "/..": false, "/version ": false, "/vérsion": false,
		"/version\n": false, "https://edge/version": false, `/a\b`: false, "/a;b": false,
		"/api/v1/pods": false, "/api/v1/namespaces": false, "/api/v1/namespaces/a/pods/b/log": false, "/api/v1/watch": false, "/api/v1/watch/pods": false,
		"/api/v1/nodes/n/proxy/metrics": false, "/apis/apps/v1/deployments": false, "/apis/apps/v1/namespaces/a/deployments/": false,
	} {
		if _, err := NewAnonymousPaths([]string{"/healthz", text}); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestAnonymousPathsInAChain checks that a request becomes anonymous only if it is a GET or HEAD of
// exactly a listed path, without bearer token, body and upgrade.
func TestAnonymousPathsInAChain(t *testing.T) {
	paths, err := NewAnonymousPaths([]string{"/version", "/openid/v1/jwks"})
	if err != nil {
		t.Fatal(err)
	}
	chain := NewChain(ChainOptions{Tokens: tokensFunc(func(string) (Verified, error) { return Verified{}, refused(ReasonIssuer, "another's") }), AnonymousPaths: paths})
	for line, want := range map[string]error{
		"GET /version":                nil,
		"HEAD /version":               nil,
		"GET /version?timeout=32s":    nil,
		"GET http://any.host/version": nil,
		"GET /openid/v1/jwks":         nil,
		"POST /version":               ErrNoCredential,
		"get /version":                ErrNoCredential,
		"OPTIONS /version":            ErrNoCredential,
		"WATCH /version":              ErrNoCredential,
		"GET /version/":               ErrNoCredential,
		"GET /VERSION":                ErrNoCredential,
		"GET //version":               ErrNoCredential,
		"GET /%76ersion":              ErrNoCredential,
		"GET /openid%2fv1/jwks":       ErrNoCredential,
		"GET /openid/v1/../v1/jwks":   ErrNoCredential,
		"GET /openid/v1":              ErrNoCredential,
		"OPTIONS *":                   ErrNoCredential,
		"GET version:80":              ErrNoCredential, // Go parses "version:80" as a URL without a path
	} {
		r := readRequest(t, line+" HTTP/1.1\r\nHost: edge\r\n\r\n")
		who, err := chain.Authenticate(r)
		if !errors.Is(err, want) || (err == nil) != (who.Kind == Anonymous && who.User != nil) || err == nil && who.User.GetName() != user.Anonymous {
			t.Errorf("%s: %+v, %v", line, who, err)
		}
	}
	for header, want := range map[string]bool{
		"": true, "Authorization: Basic x": true, "Authorization: Bearer bad": false, "Authorization: Bearer": false,
		"Upgrade: websocket": false, "Content-Length: 0": true, "Content-Length: 1": false, "Transfer-Encoding: chunked": false,
	} {
		r := readRequest(t, strings.ReplaceAll("GET /version HTTP/1.1\nHost: edge\n"+header, "\n", "\r\n")+strings.Repeat("\r\n", 1+min(1, len(header))))
		if who, err := chain.Authenticate(r); (err == nil) != want {
			t.Errorf("%q: %+v, %v", header, who, err)
		}
	}
	if who, err := NewChain(ChainOptions{Tokens: tokensFunc(nil)}).Authenticate(httptest.NewRequest("GET", "/version", nil)); !errors.Is(err, ErrNoCredential) {
		t.Errorf("without paths: %+v, %v", who, err)
	}
}

func readRequest(t *testing.T, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

// FuzzAnonymousPaths checks that each path that NewAnonymousPaths accepts is one that a request can
// have, names no resource, and matches only itself, byte by byte.
func FuzzAnonymousPaths(f *testing.F) {
	for _, seed := range [][2]string{{"/version", "/version"}, {"/api/v1", "/api/v1/"}, {"/apis/a/v1/b", "/"}, {"/a//b", "/a/b"}, {"/a", "/%61"}, {"/a/..", "/"}, {"/", "//"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, listed, asked string) {
		paths, err := NewAnonymousPaths([]string{listed})
		if err != nil {
			return
		}
		own := readRequest(t, "GET "+listed+" HTTP/1.1\r\nHost: e\r\n\r\n")
		if info, err := apiPaths.NewRequestInfo(own); err != nil || info.IsResourceRequest || info.Path != listed || !paths.allow(own) {
			t.Errorf("%q: %+v, %v", listed, info, err)
		}
		if clean := path.Clean(listed); clean != strings.TrimSuffix(listed, "/") && clean != listed {
			t.Errorf("%q is %q to others", listed, clean)
		}
		if r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + asked + " HTTP/1.1\r\nHost: e\r\n\r\n"))); err == nil && paths.allow(r) {
			// The fuzzed path can become a request target in absolute form, with scheme and host.
			if _, after, ok := strings.Cut(r.RequestURI, "://"); ok && !strings.HasPrefix(r.RequestURI, "/") {
				_, after, _ = strings.Cut(after, "/")
				r.RequestURI = "/" + after
			}
			if before, _, _ := strings.Cut(r.RequestURI, "?"); before != listed {
				t.Errorf("%q let %q in", listed, asked)
			}
		}
	})
}
