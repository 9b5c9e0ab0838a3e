package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// The web pages that the browser visits. edge allows the console's origin to act for a visitor by the visitor's certificate, and
// not the stranger's.
var console, stranger *httptest.Server

func startPages() (stop func()) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>a page</title>") })
	console, stranger = httptest.NewServer(page), httptest.NewServer(page)
	return func() {
		console.Close()
		stranger.Close()
	}
}

// TestBrowserOrigins: with the right token in its hands a page may use edge from anywhere. With what the browser brings along by
// itself, a certificate, it may from edge's own host and from an allowed origin, and from no other, also with a token beside it.
// The browser tells who it is; edge decides.
func TestBrowserOrigins(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, path := range paths {
			to := s.access(path, tokens["alice"])
			nobody := to
			nobody.Token = ""
			for _, c := range []struct {
				name    string
				page    string
				to      cluster.Access
				refused string // the browser's word for edge's answer
			}{
				{"console", console.URL, to, ""},
				{"edge's own host", to.Server + "/version", to, ""},
				{"stranger with a token", stranger.URL, to, ""},
				{"console, without a token", console.URL, nobody, "HTTP Authentication failed"},
			} {
				t.Run(path+"/"+c.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if err := knock(ctx, c.page, c.to, c.refused); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
	a := attack(t, cluster.New, "--client-ca-file="+sites[cluster.New].cluster.CAFile, "--allowed-origins="+console.URL)
	ambient := a.asCertified(t, "alice", "dev")
	both := ambient
	both.Token = tokens["alice"]
	for _, c := range []struct {
		name    string
		page    string
		to      cluster.Access
		refused string
	}{
		{"console", console.URL, ambient, ""},
		{"edge's own host", a.URL + "/version", ambient, ""},
		{"stranger", stranger.URL, ambient, "Unexpected response code: 403"},
		{"stranger with a token", stranger.URL, both, "Unexpected response code: 403"},
	} {
		t.Run("certificate/"+c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := knock(ctx, c.page, c.to, c.refused); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("edge's words", func(t *testing.T) {
		for origin, code := range map[string]int{console.URL: 101, a.URL: 101, stranger.URL: 403, "null": 403} {
			got := raw(t.Context(), t, ambient, "GET", execURI, append(askWebSocket(channelsV5), "Origin: "+origin)...)
			if got.code != code || code == 403 && !strings.Contains(got.status().Message, "--allowed-origins") {
				t.Errorf("%s: %v", origin, got)
			}
		}
	})
}

// knock tries an exec from a page. refused is why the browser says its handshake failed; empty: it must not.
func knock(ctx context.Context, page string, to cluster.Access, refused string) error {
	var s seen
	visit := clients.Visit{Page: page, Verb: "talk", Args: webSocketArgs(to, execQuery("echo in"), channelsV5, nil)}
	if to.Client.Cert != nil {
		visit.As = clients.CertificateOf(to)
	}
	said, err := browser.Visit(ctx, visit, &s)
	if err != nil {
		return err
	}
	if refused == "" {
		err = s.ended(0, "in\n", "")
	} else if s != (seen{Close: 1006}) || !strings.Contains(strings.Join(said, "\n"), refused) {
		err = fmt.Errorf("want %q", refused)
	}
	if err != nil {
		return fmt.Errorf("%w: %+v; the browser said %q", err, s, said)
	}
	return nil
}
