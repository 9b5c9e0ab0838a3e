package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"edge/e2e/testbed/cluster"
)

// TestPathMismatch checks paths that two servers might interpret differently. edge must refuse such
// a path or forward it unchanged.
func TestPathMismatch(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	to := a.as(tokens["alice"])
	const pods = podsURI
	secrets := "/api/v1/namespaces/" + cluster.Namespace + "/secrets"
	for uri, refused := range map[string]bool{
		"/api/v1/namespaces/demo/pods/../secrets":          true,
		"/api/v1/namespaces/demo/pods/%2e%2e/secrets":      true,
		"/api/v1/namespaces/demo/pods/.%2E/secrets":        true,
		"/api/v1/namespaces/demo/pods/./shell":             true,
		"/api/v1/namespaces/demo/pods/%2e/shell":           true,
		"/api/v1/../v1/namespaces/demo/pods":               true,
		"/..":                                              true,
		"/api/v1/namespaces/demo/pods/shell/..":            true,
		"/api/v1/namespaces/demo/pods%2f..%2fsecrets":      true,
		"/api/v1/namespaces/demo/pods/shell%2f..%2f..%2fx": true,
		pods + "/":                          false,
		"/" + pods:                          false,
		strings.Replace(pods, "/", "//", 2): false,
		pods + "//shell":                    false,
		pods + "/shell%2flog":               false,
		pods + "/%73hell":                   false,
		pods + "/shell;a=b":                 false,
		pods + "/shell%00":                  false,
		pods + "/shell%0d%0aX-Evil:%201":    false,
		pods + "/shell%3fa=b":               false,
		pods + "/shell%23a":                 false,
		pods + "/...":                       false,
		pods + `/shell\..\..`:               false,
		pods + "?a=/../" + secrets:          false,
		pods + "?limit=1#/" + secrets:       false,
	} {
		got := raw(t.Context(), t, to, "GET", uri, askJSON)
		heads := a.requests()
		a.recorder.Forget()
		want := uri
		if u, err := url.ParseRequestURI(uri); err == nil {
			want = u.RequestURI() // edge must send this URI upstream: Go's URL type escapes a backslash
		}
		switch {
		case refused && (got.code != http.StatusBadRequest || len(heads) != 0):
			t.Errorf("%s: %v, and %d requests upstream; want 400", uri, got, len(heads))
		// the test accepts this result: net/http refused the request before edge's handler ran
		case !refused && got.code == http.StatusBadRequest && len(heads) == 0:
		case !refused && (len(heads) != 1 || heads[0].URI != want):
			t.Errorf("%s went upstream as %v", uri, heads)
		case strings.Contains(uri, "secrets") && !strings.Contains(uri, "?") && got.code == http.StatusOK:
			t.Errorf("%s: %v", uri, got)
		}
	}
	// If the request line names another server (absolute form), edge ignores that name and forwards
	// the request to the configured upstream.
	elsewhere, called := trap(t)
	for uri, want := range map[string]string{
		a.URL + pods + "?limit=1":                                                  pods + "?limit=1",
		elsewhere + pods + "?limit=2":                                              pods + "?limit=2",
		"file:///etc/passwd":                                                       "/etc/passwd",
		strings.Replace(elsewhere, "https", "http", 1) + pods:                      pods,
		"https://admin:secret@" + strings.TrimPrefix(elsewhere, "https://") + pods: pods,
	} {
		raw(t.Context(), t, to, "GET", uri, askJSON)
		heads := a.requests()
		a.recorder.Forget()
		if len(heads) != 1 || heads[0].URI != want || heads[0].Host != strings.TrimPrefix(a.recorder.URL, "https://") {
			t.Errorf("%s went upstream as %v", uri, heads)
		}
	}
	for _, c := range []struct{ method, uri string }{
		{"GET", "*"}, {"CONNECT", strings.TrimPrefix(elsewhere, "https://")}, {"CONNECT", "/api/v1/nodes"},
		{"TRACE", "/api/v1/nodes"}, {"GET", "api/v1/pods"}, {"GET", "mailto:api"}, {"GET", "https:api/v1"}, {"GET", ""},
	} {
		conn := dial(t.Context(), t, to, "", "http/1.1")
		resp, err := tryExchange(conn, to, c.method, c.uri, askJSON)
		if err != nil || resp.StatusCode < 400 {
			t.Errorf("%s %s: %v, %v", c.method, c.uri, resp, err)
		}
		conn.Close()
		a.nothing(t, c.method+" "+c.uri)
	}
	if n := called.Load(); n != 0 {
		t.Errorf("%d calls to a server that a request line named", n)
	}
}
