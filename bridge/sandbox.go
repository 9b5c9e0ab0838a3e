package bridge

import (
	"net/http"
	"strings"
)

// sandboxing adds "Content-Security-Policy: sandbox" to answers from below a proxy subresource.
// With this policy a browser gives the page an opaque origin, which differs from edge's origin
// (Content Security Policy 3, section 6.3.2).
// Such a page is written by the owner of a pod, but has edge's own host. Without the policy, a
// script in the page could read everything that the visitor's certificate or cookie permits. It
// could also write, as a page of edge's own origin. If an answer has several policies, a browser
// enforces all of them, so an upstream policy cannot loosen this one.
//
// sandboxing is a transport below ReverseProxy. A header that is set above ReverseProxy would be
// lost if a 1xx answer came first.
type sandboxing struct{ http.RoundTripper }

func (s sandboxing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && isBelowProxy(r.URL.Path) {
		resp.Header.Add("Content-Security-Policy", "sandbox")
	}
	return resp, err
}

// isBelowProxy reports whether path may lead to a proxy subresource. It also accepts some paths
// that do not, such as paths of aggregated APIs. That does no harm: the policy of sandboxing has no
// effect on answers that are not pages.
func isBelowProxy(path string) bool { return strings.Contains(path+"/", "/proxy/") }
