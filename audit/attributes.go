package audit

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"edge/impersonate"
)

// requestInfos reads a request as kube-apiserver does.
var requestInfos = request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

// attributesOf is what a policy is evaluated on. Where kube-apiserver cannot make sense of a path it answers 500 and has no
// event; here there is one, of what it understood.
func attributesOf(r *http.Request, who user.Info) *authorizer.AttributesRecord {
	info, _ := requestInfos.NewRequestInfo(&http.Request{
		Method: r.Method,
		URL:    &url.URL{Path: r.URL.Path, RawQuery: listQuery(r)},
	})
	return &authorizer.AttributesRecord{
		User: who, Verb: info.Verb, Namespace: info.Namespace, APIGroup: info.APIGroup, APIVersion: info.APIVersion,
		Resource: info.Resource, Subresource: info.Subresource, Name: info.Name,
		ResourceRequest: info.IsResourceRequest, Path: info.Path,
	}
}

// listQuery is what NewRequestInfo needs of a query. One that is no list's options it would write to the log, whole, with
// whatever token is in it; of such a one only watch counts.
func listQuery(r *http.Request) string {
	if r.URL.RawQuery == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return ""
	}
	query := r.URL.Query()
	if metainternalversionscheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &metainternalversion.ListOptions{}) == nil {
		return r.URL.RawQuery
	}
	if watch := query["watch"]; len(watch) > 0 && watch[0] != "0" && !strings.EqualFold(watch[0], "false") {
		return "watch=true"
	}
	return ""
}

// isLongRunning is kube-apiserver's rule of which requests have an event when their answer begins.
func isLongRunning(a *authorizer.AttributesRecord) bool {
	if a.Verb == "watch" || a.Verb == "proxy" {
		return true
	}
	if !a.ResourceRequest {
		return strings.HasPrefix(a.Path, "/debug/pprof/")
	}
	switch a.Subresource {
	case "attach", "exec", "proxy", "log", "portforward":
		return true
	}
	return false
}

// originalUser begins the extra keys in which the requestor of a nested impersonation travels. The event has the requestor
// as its user.
const originalUser = "originaluser.jetstack.io-"

// requestorOf is who sent the request, as an API server that authenticated it would have it: one of all the authenticated.
func requestorOf(id impersonate.Identity) user.Info {
	switch u := id.Requestor; {
	case u == nil:
		return nil
	case u.GetName() == user.Anonymous, slices.Contains(u.GetGroups(), user.AllAuthenticated), slices.Contains(u.GetGroups(), user.AllUnauthenticated):
		return u
	default:
		return &user.DefaultInfo{
			Name: u.GetName(), UID: u.GetUID(), Extra: u.GetExtra(),
			Groups: append(slices.Clip(u.GetGroups()), user.AllAuthenticated),
		}
	}
}

// targetOf is whom the requestor impersonates, or nil: edge's own impersonation of the requestor is none.
func targetOf(id impersonate.Identity) user.Info {
	if !id.Nested {
		return nil
	}
	target := id.Upstream()
	for key := range target.Extra {
		if strings.HasPrefix(key, originalUser) {
			delete(target.Extra, key)
		}
	}
	return target
}
