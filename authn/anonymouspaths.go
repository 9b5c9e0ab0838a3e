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

// AnonymousPaths are where a request without a credential goes on as system:anonymous, as in the anonymous.conditions of an
// AuthenticationConfiguration, but for GET and HEAD alone. The zero value has none.
type AnonymousPaths struct{ paths map[string]bool }

// NewAnonymousPaths returns an error for a path that no request could have, that two servers could read in two ways, or that is
// a resource's: what is in a cluster is for users with a name.
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

// allow matches the path that RequestInfo and the API server read, if it is written without an escape: then all read the same.
// It looks at the method too, and takes neither an upgrade, which holds a connection for long, nor a body, which may never come.
func (p AnonymousPaths) allow(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return p.paths[r.URL.Path] && r.URL.RawPath == "" && len(r.Header["Upgrade"]) == 0 && r.ContentLength == 0
}

// apiPaths reads a path as kube-apiserver does.
var apiPaths = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

func checkAnonymousPath(text string) error {
	if !strings.HasPrefix(text, "/") {
		return errors.New("it does not begin with /")
	}
	if strings.Trim(text, plainPath) != "" {
		return errors.New("it has a character that is none of a path's letters, digits and -._~/")
	}
	if clean := path.Clean(text); clean != text && clean+"/" != text {
		return errors.New("it has an empty or a dot segment")
	}
	info, err := apiPaths.NewRequestInfo(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: text}})
	if err != nil || info.IsResourceRequest {
		return errors.New("it is a resource's path, which needs a login")
	}
	return nil
}

// plainPath has what is never escaped in a path (RFC 3986 section 2.3), and its slashes.
const plainPath = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
