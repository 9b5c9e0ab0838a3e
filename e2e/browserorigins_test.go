package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"edge/e2e/testbed"
)

// The web pages that the browser visits. edge allows WebSockets from the console's origin and not from the stranger's.
var console, stranger *httptest.Server

func startPages() (stop func()) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>a page</title>") })
	console, stranger = httptest.NewServer(page), httptest.NewServer(page)
	return func() {
		console.Close()
		stranger.Close()
	}
}

// TestBrowserOrigins: a page may use edge from its own host and from an allowed origin, and from no other, with the right token
// in its hands. The browser tells who it is; edge decides.
func TestBrowserOrigins(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, path := range paths {
			to := s.access(path, tokens["alice"])
			nobody := to
			nobody.Token = ""
			for _, c := range []struct {
				name    string
				page    string
				to      testbed.Access
				refused string // the browser's word for edge's answer
			}{
				{"console", console.URL, to, ""},
				{"edge's own host", to.Server + "/version", to, ""},
				{"stranger", stranger.URL, to, "Unexpected response code: 403"},
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
			t.Run(path+"/edge's words", func(t *testing.T) {
				for origin, code := range map[string]int{console.URL: 101, to.Server: 101, stranger.URL: 403, "null": 403} {
					a := raw(t.Context(), t, to, "GET", execURI, append(askWebSocket(channelsV5), "Origin: "+origin)...)
					if a.code != code || code == 403 && !strings.Contains(a.status().Message, "--allowed-origins") {
						t.Errorf("%s: %v", origin, a)
					}
				}
			})
		}
	})
}

// knock tries an exec from a page. refused is why the browser says its handshake failed; empty: it must not.
func knock(ctx context.Context, page string, to testbed.Access, refused string) error {
	var s seen
	said, err := browser.Visit(ctx, testbed.Visit{Page: page, Verb: "talk", Args: webSocketArgs(to, execQuery("echo in"), channelsV5, nil)}, &s)
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
