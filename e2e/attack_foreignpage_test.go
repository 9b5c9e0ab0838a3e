package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// configMapsURI is a path to which the pages in these tests try to write. The user of the browser
// has no right to write there, so the API server answers 403 to each request that reaches it.
const configMapsURI = "/api/v1/namespaces/" + cluster.Namespace + "/configmaps"

// TestForeignPageWrites checks that a web page of an origin that is not allowed cannot write with
// the client certificate that the user's browser presents. edge's own pages, pages of allowed
// origins, programs without a browser, and requests with a token can write. The second part of the
// test uses a real browser, which sends the page's origin to edge.
func TestForeignPageWrites(t *testing.T) {
	t.Parallel()
	on := sites[cluster.New].cluster
	a := attack(t, cluster.New, "--client-ca-file="+on.CAFile, "--allowed-origins="+console.URL)
	visitor := a.asCertified(t, "alice", "dev")
	run := "/api/v1/nodes/" + on.Node + "/proxy/run/" + cluster.Namespace + "/shell/main?cmd=true"

	for name, lines := range map[string][]string{
		"another site": {"Origin: " + stranger.URL, "Sec-Fetch-Site: cross-site"}, "no fetch metadata": {"Origin: " + stranger.URL},
		"a sandboxed page": {"Origin: null"}, "no Origin": {"Sec-Fetch-Site: cross-site"}, "a sibling": {"Sec-Fetch-Site: same-site"},
	} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			for _, uri := range []string{configMapsURI, run, podsURI + "/shell", podsURI + "/shell:8080/proxy/"} {
				got := raw(t.Context(), t, visitor, method, uri, append(lines, "Content-Length: 0")...)
				if got.code != http.StatusForbidden || !strings.Contains(got.status().Message, "--allowed-origins") {
					t.Errorf("%s: %s %s: %v, want 403", name, method, uri, got)
				}
				a.nothing(t, name)
			}
		}
		if got := raw(t.Context(), t, visitor, "GET", podsURI, lines...); got.code != http.StatusOK {
			t.Errorf("%s: GET: %v, want 200", name, got)
		}
		if got := raw(t.Context(), t, a.as(tokens["alice"]), "POST", configMapsURI, append(lines, "Content-Length: 0")...); got.code != http.StatusForbidden ||
			!strings.Contains(got.status().Message, "cannot create resource") {
			t.Errorf("%s, with a token: %v, want the API server's own answer", name, got)
		}
		a.recorder.Forget()
	}
	if got := raw(t.Context(), t, visitor, "POST", configMapsURI, "Content-Length: 0"); !strings.Contains(got.status().Message, "cannot create resource") {
		t.Errorf("a program: %v, want the API server's own answer", got)
	}

	for _, c := range []struct {
		name, page string
		writes     bool
	}{
		{"stranger", stranger.URL, false},
		{"console", console.URL, true},
		{"edge's own host", a.URL + "/version", true},
	} {
		a.recorder.Forget()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		visit := clients.Visit{
			Page: c.page, Verb: "write", Args: map[string]any{"url": a.URL + whoAmIURI + "?from=page", "body": whoAmIBody}, As: clients.CertificateOf(visitor),
		}
		said, err := browsers[clients.Chromium].Visit(ctx, visit, new(struct{}))
		if err != nil {
			t.Errorf("%s: %v; browser console: %q", c.name, err, said)
			continue
		}
		var arrived []string
		for _, head := range a.recorder.Heads() {
			if strings.Contains(head.URI, "from=page") {
				arrived = append(arrived, head.URI)
			}
		}
		slices.Sort(arrived)
		var want []string
		if c.writes {
			want = []string{whoAmIURI + "?from=page&by=fetch", whoAmIURI + "?from=page&by=form"}
		}
		if !slices.Equal(arrived, want) {
			t.Errorf("%s: the API server got %q, want %q; browser console: %q", c.name, arrived, want, said)
		}
	}
}

// TestForeignPageWritesSandbox checks a page that a pod serves through the API server's proxy, and
// which therefore has edge's own origin. The page's scripts must not run if the user's browser
// presents a client certificate. The test belongs to row ForeignPageWrites of the attack corpus in
// docs/security.md.
func TestForeignPageWritesSandbox(t *testing.T) {
	t.Parallel()
	s := sites[cluster.New]
	script := fmt.Sprintf(`document.title = "it ran"; fetch("%s", {method: "POST", body: new Blob(["{}"])})`, configMapsURI)
	err := s.cluster.StartPod(t.Context(), cluster.PodOptions{Name: "trap", Script: "mkdir /tmp/www && echo '<!doctype html><title>a page</title><script>" +
		script + "</script>' >/tmp/www/page.html && httpd -p 8080 -h /tmp/www && trap 'exit 0' TERM; sleep 2147483647 & wait"})
	if err != nil {
		t.Fatal(err)
	}
	a := attack(t, cluster.New, "--client-ca-file="+s.cluster.CAFile)
	visitor := a.asCertified(t, "alice", "dev")
	page := podsURI + "/trap:8080/proxy/page.html"
	eventually(t.Context(), t, patience, "the page", func(ctx context.Context) error {
		if got := raw(ctx, t, visitor, "GET", page); got.code != http.StatusOK || !strings.Contains(string(got.body), "it ran") {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if got := raw(t.Context(), t, visitor, "GET", page); !slices.Contains(got.header["Content-Security-Policy"], "sandbox") {
		t.Errorf("by certificate: %v", got.header)
	}
	if got := raw(t.Context(), t, a.as(tokens["alice"]), "GET", page); got.code != http.StatusOK || got.header["Content-Security-Policy"] != nil {
		t.Errorf("by token: %d %v", got.code, got.header)
	}
	a.recorder.Forget()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var saw struct{ Origin, Title string }
	said, err := browsers[clients.Chromium].Visit(ctx, clients.Visit{Page: a.URL + page, Verb: "look", As: clients.CertificateOf(visitor)}, &saw)
	if err != nil || saw.Origin != "null" || saw.Title != "a page" {
		t.Errorf("%+v, %v; browser console: %q", saw, err, said)
	}
	for _, head := range a.requests() {
		if head.Method != http.MethodGet {
			t.Errorf("the page sent %s %s", head.Method, head.URI)
		}
	}
}
