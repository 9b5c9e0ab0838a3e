package authn

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// AnonymousPaths is a set of request paths that need no credential. A GET or HEAD request to one of
// these paths that has no credential continues as system:anonymous. The field anonymous.conditions
// of an AuthenticationConfiguration allows paths too, but for every method. The zero value contains
// no path.
type AnonymousPaths struct{ paths map[string]bool }

// NewAnonymousPaths checks a list of paths and returns them as a set. It returns an error for a
// path that no request can have, that two servers could read differently (for example, one with
// percent escapes), or that names a Kubernetes resource. So an AnonymousPaths never gives anonymous
// users access to a resource of a cluster.
func NewAnonymousPaths(list []string) (AnonymousPaths, error) {
	p := AnonymousPaths{make(map[string]bool, len(list))}
	for _, text := range list {
		if err := checkAnonymousPath(text); err != nil {
			return AnonymousPaths{}, fmt.Errorf("%q: %w; write a whole path such as /version, without a wildcard", text, err)
		}
		p.paths[text] = true
	}
	return p, nil
}

// allow reports whether a request without a credential may continue as anonymous: it must be a GET
// or HEAD, and its path must be one of the paths in p. allow returns false for a path with percent
// escapes, because two servers could decode such a path differently; for an upgrade, because an
// upgraded connection stays open for long; and for a request with a body, because the body may
// never arrive.
func (p AnonymousPaths) allow(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return p.paths[r.URL.Path] && r.URL.RawPath == "" && len(r.Header["Upgrade"]) == 0 && r.ContentLength == 0
}

// apiPaths parses a request path as kube-apiserver does.
var apiPaths = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

func checkAnonymousPath(text string) error {
	if !strings.HasPrefix(text, "/") {
		return errors.New("the path does not begin with /")
	}
	if strings.Trim(text, plainPath) != "" {
		return errors.New("the path has a character other than letters, digits and -._~/")
	}
	if clean := path.Clean(text); clean != text && clean+"/" != text {
		return errors.New(`the path has an empty segment, or a segment "." or ".."`)
	}
	info, err := apiPaths.NewRequestInfo(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: text}})
	if err != nil || info.IsResourceRequest {
		return errors.New("the path names a Kubernetes resource, and a resource needs a credential")
	}
	return nil
}

// plainPath contains the slash and all characters that are never percent-encoded in a path (RFC
// 3986 section 2.3).
const plainPath = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
