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

// console and stranger serve the two web pages that the browser opens. edge allows pages of
// console's origin to use the client certificate of the browser's user, but not pages of stranger's
// origin.
var console, stranger *httptest.Server

func startPages() (stop func()) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>a page</title>") })
	console, stranger = httptest.NewServer(page), httptest.NewServer(page)
	return func() {
		console.Close()
		stranger.Close()
	}
}

// TestBrowserOrigins checks from which origins a web page may use edge. With a token, any page may.
// With a client certificate, which the browser presents by itself, only edge's own pages and pages
// of allowed origins may, even if the page also sends a token. A real browser sends the page's
// origin, and edge decides, for every cluster in the same way.
func TestBrowserOrigins(t *testing.T) {
	t.Run(string(cluster.New), func(t *testing.T) {
		t.Parallel()
		s := sites[cluster.New]
		for _, path := range paths {
			to := s.access(path, tokens["alice"])
			nobody := to
			nobody.Token = ""
			for _, c := range []struct {
				name string
				page string
				to   cluster.Access
				// part of Chromium's console message if edge must refuse the exec; empty: the exec
				// must succeed
				refused string
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

// knock makes a web page run an exec. If refused is not empty, the WebSocket handshake must fail
// with a message in Chromium's console that contains refused. Otherwise the exec must succeed.
func knock(ctx context.Context, page string, to cluster.Access, refused string) error {
	var s seen
	visit := clients.Visit{Page: page, Verb: "talk", Args: webSocketArgs(to, execQuery("echo in"), channelsV5, nil)}
	if to.Client.Cert != nil {
		visit.As = clients.CertificateOf(to)
	}
	said, err := browsers[clients.Chromium].Visit(ctx, visit, &s)
	if err != nil {
		return err
	}
	if refused == "" {
		err = s.ended(0, "in\n", "")
	} else if s != (seen{Close: 1006}) || !strings.Contains(strings.Join(said, "\n"), refused) {
		err = fmt.Errorf("the browser console does not contain %q", refused)
	}
	if err != nil {
		return fmt.Errorf("%w: %+v; browser console: %q", err, s, said)
	}
	return nil
}
