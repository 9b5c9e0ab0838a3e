package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestAnEmptyImpersonationKeepsItsSendersToken checks that an Impersonate-User header with an empty
// value does not count as impersonation. If a request with such a header has a token of the API
// server, edge forwards the request with that token. It must not use edge's own credential, because
// no access review took place.
func TestAnEmptyImpersonationKeepsItsSendersToken(t *testing.T) {
	t.Parallel()
	e := newBed(t).serve("--token-passthrough", "--token-passthrough-audiences=elsewhere")
	got := e.upstreamOf("opaque", "/api", "Impersonate-User", "")
	if got.Get("Authorization") != "Bearer opaque" || got.Get("Impersonate-User") != "" {
		t.Error(got)
	}
	if resp, _ := e.ask("opaque", "/api", "Impersonate-Group", ""); resp.StatusCode != http.StatusBadRequest {
		t.Error("a group without a user:", resp.Status)
	}
}

// TestAQueryIsNotLogged checks that edge does not log the query of a request, which may have a
// token in it. This also holds for a query that is not valid ListOptions.
func TestAQueryIsNotLogged(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/version"): // this answer means that the API server offers constrained impersonation (KEP-5284)
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "requested impersonation without impersonating a user name")
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			fmt.Fprint(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`)
		default:
			fmt.Fprint(w, "{}")
		}
	}
	e := b.serve()
	const canary = "canary-6f1d"
	e.upstreamOf(b.token(nil), "/api/v1/pods", "Impersonate-User", "bob") // the first impersonation in this test: edge sends access reviews, because it has no cached answer
	resp, body := e.ask(b.token(nil), "/api/v1/pods?limit=none&access_token="+canary, "Impersonate-User", "bob")
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status, body)
	}
	e.ask(b.token(nil), "/api/v1/watch?access_token="+canary, "Impersonate-User", "bob") // no API server can parse this path, and the text of the parser's error has the query in it
	_, reviews := b.requests("/apis/authorization.k8s.io/v1/subjectaccessreviews")
	if !slices.ContainsFunc(reviews, func(review string) bool { return strings.Contains(review, `"impersonate-on:user-info:list"`) }) {
		t.Error("it was not asked on what:", reviews)
	}
	e.stop()
	if log := e.log.String(); strings.Contains(log, canary) {
		t.Error(log)
	}
}

// TestARedirectIsNotFollowed checks that a redirect from the API server's address gets neither
// edge's credential nor a token that edge reviews.
func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	followed := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case followed <- fmt.Sprint(r.Method, " ", r.URL, " ", r.Header["Authorization"], " ", asJSON(body)):
		default:
		}
	}))
	defer elsewhere.Close()
	b := newBed(t)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	e := b.serve("--token-passthrough")
	e.ask("opaque", "/api")
	e.ask(b.token(nil), "/api", "Impersonate-User", "bob")
	b.start(append(append(b.oidc(), b.upstream()...), "--upstream-token-request=a/b")...).wait("the end", func() bool {
		seen, _ := b.requests("/api/v1/namespaces/a/serviceaccounts/b/token")
		return len(seen) > 0
	})
	e.stop()
	select {
	case got := <-followed:
		t.Error(got)
	default:
	}
}

// TestTrailersStayHere checks that edge does not forward the trailers that a client announces.
func TestTrailersStayHere(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.serve()
	announced := make(chan http.Header, 1)
	b.answer = func(w http.ResponseWriter, r *http.Request) { announced <- r.Trailer }
	req, err := http.NewRequest(http.MethodPost, e.url+"/api", io.NopCloser(strings.NewReader("{}")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token(nil))
	req.Trailer = http.Header{"Impersonate-User": {"root"}, "Authorization": {"Bearer x"}}
	resp, err := insecureClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-announced; len(got) > 0 {
		t.Error(got)
	}
}

// TestOnlyPathsAreServed checks that CONNECT, and requests without a path, are refused.
func TestOnlyPathsAreServed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.serve()
	for _, line := range []string{"CONNECT /api HTTP/1.1", "CONNECT kube:443 HTTP/1.1", "OPTIONS * HTTP/1.1", "GET http: HTTP/1.1"} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s\r\nHost: kube\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", line, b.token(nil))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Error(line, err)
		} else if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Error(line, resp.Status)
		}
		conn.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.seen {
		t.Error("upstream saw", r.Method, r.RequestURI)
	}
}

// TestOwnTokenInURL checks that a request is refused if its URL contains the token with which it
// authenticates, in any parameter or segment. The token is neither sent upstream nor logged.
// Redaction in the log would only find a JWT, not an opaque token.
func TestOwnTokenInURL(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/tokenreviews") {
			w.Write([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"agent"}}}`))
		}
	}
	e := b.serve("--token-passthrough", "--anonymous-paths=/version")
	const opaque = "canary-6f1d-of~an.account"
	for _, token := range []string{opaque, b.token(nil)} {
		if resp, body := e.ask(token, "/api/v1/pods?labelSelector=a"); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, body)
		}
		double := strings.ReplaceAll(strings.ReplaceAll(token, "-", "%252d"), ".", "%252E")
		for _, uri := range []string{
			"/api/v1/pods?labelSelector=" + token, "/api/v1/pods?fieldSelector=" + double, "/api/v1/pods?" + token, "/api/v1/namespaces/" + token,
			"/api/v1/pods?continue=Bearer%20" + token, "/api/v1/namespaces/a/services/s/proxy/?x=" + token, "/version?container=" + double,
		} {
			resp, body := e.ask(token, uri)
			if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "ends up in logs") || strings.Contains(body, token) {
				t.Errorf("%s: %s %s", uri, resp.Status, body)
			}
		}
		if log := e.log.String(); strings.Contains(log, token) || strings.Contains(log, double) {
			t.Errorf("%s", log)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.seen {
		if !strings.Contains(r.RequestURI, "labelSelector=a") && strings.HasPrefix(r.RequestURI, "/api/v1/") {
			t.Error("upstream saw", r.Method, r.RequestURI)
		}
	}
}

// TestUsageErrorsTellNoSecret checks that a usage error does not repeat a secret that is in the
// wrong place of the command line.
func TestUsageErrorsTellNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "canary-6f1d"
	issuer := []string{"--oidc-issuer-url=https://127.0.0.1:1", "--oidc-client-id=edge"}
	for name, args := range map[string][]string{
		"one dash":                 {"serve", "-token=" + secret},
		"connect, one dash":        {"connect", "-token=" + secret},
		"a space":                  {"serve", "--token", "a", secret},
		"version":                  {"version", secret},
		"in the server's address":  append([]string{"serve", "--server=https://edge:" + secret + "@127.0.0.1:1"}, issuer...),
		"in no address":            append([]string{"serve", "--server=https://edge:" + secret + "@127.0.0.1:1x"}, issuer...),
		"a token as a file's name": append([]string{"explain-token", "-f", secret}, issuer...),
	} {
		stdout, stderr, code := runEdge(t, args...)
		if code != exitUsage || strings.Contains(stdout+stderr, secret) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q %q", name, code, stdout, stderr)
		}
	}
}
