package bridge

import (
	"net/http"
	"strings"
)

// sandboxing has pages from below a proxy arrive with a policy by which a browser
// takes them for nobody's (Content Security Policy 3, section 6.3.2). They are
// written by whoever runs a pod, and are of edge's own host: without it, a script in
// one could read, and as a page of the same origin write, whatever the visitor's
// certificate or cookie may. Of several policies each holds, so upstream's own
// cannot loosen it.
//
// It stands below ReverseProxy, which takes headers off that were set before a 1xx.
type sandboxing struct{ http.RoundTripper }

func (s sandboxing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && isBelowProxy(r.URL.Path) {
		resp.Header.Add("Content-Security-Policy", "sandbox")
	}
	return resp, err
}

// isBelowProxy takes more paths than lead to a proxy, also those of aggregated APIs:
// on what is no page the policy does nothing.
func isBelowProxy(path string) bool { return strings.Contains(path+"/", "/proxy/") }
