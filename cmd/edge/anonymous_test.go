package main

import (
	"net/http"
	"strings"
	"testing"
)

// refuses checks that edge answers 401 to a request for the path without a credential.
func (e *instance) refuses(path string) {
	e.Helper()
	if resp, body := e.ask("", path); resp.StatusCode != http.StatusUnauthorized {
		e.Errorf("%s: %s %s", path, resp.Status, body)
	}
}

// TestAnonymousPaths checks that a request without a credential is forwarded as system:anonymous on
// --anonymous-paths, and gets 401 on other paths. Impersonation by such a request is refused
// without an access review.
func TestAnonymousPaths(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ca, _ := b.clientCertificate("anna")
	e := b.serve("--anonymous-paths=/version,/healthz", "--token-passthrough", "--client-ca-file="+ca)
	for _, c := range []struct {
		name, method, uri, body string
		header                  []string
		code                    int
		user                    string
	}{
		{name: "GET", method: "GET", uri: "/version", code: 200, user: "system:anonymous"},
		{name: "a query", method: "GET", uri: "/healthz?verbose", code: 200, user: "system:anonymous"},
		{name: "HEAD", method: "HEAD", uri: "/healthz", code: 200, user: "system:anonymous"},
		{name: "a token", method: "GET", uri: "/version", header: []string{"Authorization", "Bearer " + b.token(nil)}, code: 200, user: "jane"},
		{name: "a broken credential", method: "GET", uri: "/version", header: []string{"Authorization", "Bearer"}, code: 401},
		{name: "two credentials", method: "GET", uri: "/version", header: []string{"Authorization", "Bearer a", "Authorization", "Bearer b"}, code: 401},
		{name: "POST", method: "POST", uri: "/version", code: 401},
		{name: "OPTIONS", method: "OPTIONS", uri: "/version", code: 401},
		{name: "a body", method: "GET", uri: "/version", body: "x", code: 401},
		{name: "an upgrade", method: "GET", uri: "/version", header: []string{"Connection", "Upgrade", "Upgrade", "websocket"}, code: 401},
		{name: "below", method: "GET", uri: "/version/", code: 401},
		{name: "two slashes", method: "GET", uri: "//version", code: 401},
		{name: "an escape", method: "GET", uri: "/%76ersion", code: 401},
		{name: "an escaped slash", method: "GET", uri: "/%2fversion", code: 401},
		{name: "a dot segment", method: "GET", uri: "/./version", code: 401},
		{name: "another path", method: "GET", uri: "/api", code: 401},
		{name: "an impersonation", method: "GET", uri: "/version", header: []string{"Impersonate-User", "bob"}, code: 403},
		{name: "an impersonation of oneself", method: "GET", uri: "/version", header: []string{"Impersonate-User", "system:anonymous"}, code: 403},
		{name: "half an impersonation", method: "GET", uri: "/version", header: []string{"Impersonate-Group", "system:masters"}, code: 400},
	} {
		before := len(b.all())
		resp, body := e.send(c.method, c.uri, c.body, c.header...)
		seen := b.all()[before:]
		switch {
		case resp.StatusCode != c.code:
			t.Errorf("%s: %s %s", c.name, resp.Status, body)
		case c.code >= 400 && (len(seen) > 0 || !strings.Contains(body, `"kind":"Status"`)):
			t.Errorf("%s: %d requests upstream, %s", c.name, len(seen), body)
		case c.code == 200 && (len(seen) != 1 || seen[0].Header.Get("Impersonate-User") != c.user || seen[0].Header.Get("Authorization") != "Bearer of-edge"):
			t.Errorf("%s: upstream saw %d requests", c.name, len(seen))
		}
	}
	e.wait("a line about nobody", func() bool {
		return strings.Contains(e.log.String(), "msg=AuSuccess") && strings.Contains(e.log.String(), "user=system:anonymous groups=system:unauthenticated status=200")
	})
	b.answer = func(w http.ResponseWriter, r *http.Request) { // the API server accepts no token
		w.Write([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false}}`))
	}
	if resp, body := e.ask("bad", "/version"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a bad token: %s %s", resp.Status, body)
	}
}

// TestAnonymousPathsFlags checks that flags that cannot work together are an error at start.
func TestAnonymousPathsFlags(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*identityOptions){
		"":                                   func(*identityOptions) {},
		"excludes --authentication-config":   func(o *identityOptions) { o.config, o.oidc.IssuerURL = "file", "" },
		"excludes --anonymous-paths":         func(o *identityOptions) { o.disableImpersonation = true },
		"names a Kubernetes resource":        func(o *identityOptions) { o.anonymousPaths = []string{"/version", "/api/v1/secrets"} },
		"without a wildcard":                 func(o *identityOptions) { o.anonymousPaths = []string{"/version*"} },
		"no authentication is configured: s": func(o *identityOptions) { o.oidc.IssuerURL = "" },
	} {
		o := newIdentityOptions()
		o.oidc.IssuerURL, o.oidc.ClientID, o.anonymousPaths = "https://issuer", "edge", []string{"/version"}
		change(&o)
		if err := o.validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// all returns the requests that the test API server received, except those that edge itself sends
// at start.
func (b *bed) all() (seen []*http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.seen {
		if r.URL.Path != "/version" || r.Header.Get("Impersonate-User") != "" {
			seen = append(seen, r)
		}
	}
	return seen
}

// send is like the method ask, which sends a GET to edge, but sends the given method and body.
func (e *instance) send(method, uri, body string, header ...string) (*http.Response, string) {
	e.Helper()
	req, err := http.NewRequest(method, e.url+uri, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return e.do(req)
}
