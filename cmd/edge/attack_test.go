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

// A header without a name asks for nobody: who comes with a token of the API server's
// goes on under that token and not, unreviewed, under edge's credential.
func TestAnEmptyImpersonationKeepsItsSendersToken(t *testing.T) {
	e := newBed(t).serve("--token-passthrough", "--token-passthrough-audiences=elsewhere")
	got := e.upstreamOf("opaque", "/api", "Impersonate-User", "")
	if got.Get("Authorization") != "Bearer opaque" || got.Get("Impersonate-User") != "" {
		t.Error(got)
	}
	if resp, _ := e.ask("opaque", "/api", "Impersonate-Group", ""); resp.StatusCode != http.StatusBadRequest {
		t.Error("a group without a user:", resp.Status)
	}
}

// What a client asks in a query is nobody's business but the API server's, also
// where it is no list's options: a token may stand in it.
func TestAQueryIsNotLogged(t *testing.T) {
	b := newBed(t)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/version"): // constrained impersonation is offered
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
	e.upstreamOf(b.token(nil), "/api/v1/pods", "Impersonate-User", "bob") // and not cached
	resp, body := e.ask(b.token(nil), "/api/v1/pods?limit=none&access_token="+canary, "Impersonate-User", "bob")
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status, body)
	}
	e.ask(b.token(nil), "/api/v1/watch?access_token="+canary, "Impersonate-User", "bob") // which is no path of an API server
	_, reviews := b.requests("/apis/authorization.k8s.io/v1/subjectaccessreviews")
	if !slices.ContainsFunc(reviews, func(review string) bool { return strings.Contains(review, `"impersonate-on:user-info:list"`) }) {
		t.Error("it was not asked on what:", reviews)
	}
	e.stop()
	if log := e.log.String(); strings.Contains(log, canary) {
		t.Error(log)
	}
}

// Whoever answers for the API server with a redirect gets neither edge's credential
// nor the token that edge asks about.
func TestARedirectIsNotFollowed(t *testing.T) {
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

// What a client announces to send after the body is not announced to the API server.
func TestTrailersStayHere(t *testing.T) {
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

// CONNECT, whose path no API server sees, and a request without a path are nobody's.
func TestOnlyPathsAreServed(t *testing.T) {
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

// A request's own token in its URL, under whatever name, goes nowhere: not upstream, and not into the log, of which a JWT's form is
// taken out, but no other's.
func TestOwnTokenInURL(t *testing.T) {
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

// A secret in the wrong place of a command line is not repeated.
func TestUsageErrorsTellNoSecret(t *testing.T) {
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
