package negotiate

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/emicklei/go-restful/v3"
	authorizationv1 "k8s.io/api/authorization/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// kubelet has the routes and the router of a kubelet's server. It records the target (pod and verb)
// of the last request.
type kubelet struct {
	*restful.Container
	asked Target
}

func newKubelet() *kubelet {
	k := &kubelet{Container: restful.NewContainer()}
	for word, paths := range map[string][]string{
		"exec":        {"/{podNamespace}/{podID}/{containerName}", "/{podNamespace}/{podID}/{uid}/{containerName}"},
		"attach":      {"/{podNamespace}/{podID}/{containerName}", "/{podNamespace}/{podID}/{uid}/{containerName}"},
		"run":         {"/{podNamespace}/{podID}/{containerName}", "/{podNamespace}/{podID}/{uid}/{containerName}"},
		"portForward": {"/{podNamespace}/{podID}", "/{podNamespace}/{podID}/{uid}"},
	} {
		service := new(restful.WebService)
		service.Path("/" + word)
		for _, path := range paths {
			service.Route(service.POST(path).To(func(r *restful.Request, _ *restful.Response) {
				k.asked = Target{Verb: word, Namespace: r.PathParameter("podNamespace"), Pod: r.PathParameter("podID")}
			}))
		}
		k.Add(service)
	}
	return k
}

// through returns the target (pod and verb) that a kubelet behind an API server's proxy receives
// for u, and the attributes that the API server checks first. Both come from the original
// Kubernetes code. Only the step from the API server to the kubelet is a short version of
// ConnectResource and the proxy's handler.
func (k *kubelet) through(t *testing.T, u *url.URL) (Target, authorizationv1.ResourceAttributes) {
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := factory.NewRequestInfo(&http.Request{Method: http.MethodPost, URL: u})
	if err != nil || info.APIPrefix != "api" || info.APIVersion != "v1" || info.Verb != "create" || info.Subresource != "proxy" || info.Name == "" ||
		(info.Resource != "nodes" || info.Namespace != "") && (info.Resource != "pods" || info.Namespace == "") {
		return Target{}, authorizationv1.ResourceAttributes{}
	}
	rest := "/" + strings.Join(info.Parts[3:], "/")
	if strings.HasSuffix(info.Path, "/") {
		rest += "/"
	}
	location := url.URL{Scheme: "https", Host: "kubelet", Path: utilnet.JoinPreservingTrailingSlash("", rest)}
	arrived, err := url.ParseRequestURI(location.RequestURI())
	if err != nil {
		t.Fatal(err)
	}
	k.asked = Target{}
	k.Dispatch(httptest.NewRecorder(), &http.Request{Method: http.MethodPost, URL: arrived, Header: http.Header{}})
	if k.asked.Verb != "" {
		k.asked.Proxied, k.asked.proxy, k.asked.proxyNamespace = info.Resource, info.Name, info.Namespace
	}
	return k.asked, authorizationv1.ResourceAttributes{
		Verb: info.Verb, Version: info.APIVersion, Group: info.APIGroup, Resource: info.Resource, Subresource: info.Subresource,
		Namespace: info.Namespace, Name: info.Name,
	}
}

// FuzzProxiedTarget checks that ParseTarget recognises exactly the paths on which a kubelet would
// begin a stream. edge must refuse other spellings of such a path (isDisguised).
func FuzzProxiedTarget(f *testing.F) {
	for _, prefix := range []string{"/api/v1/nodes/n/proxy", "/api/v1/namespaces/h/pods/https:k:10250/proxy", "//api/v1/nodes/n%3A1/proxy/"} {
		for _, rest := range []string{
			"/exec/ns/p/c", "/exec/ns/p/u/c", "/attach/ns/p/c", "/run/ns/p/c", "/portForward/ns/p", "/portForward/ns/p/u", "/Exec/ns/p/c",
			"/exec/ns/p/%25/c", "/exec/ns/p/c/", "//exec//ns/p/c", "/exec%2fns/p/c", "/%65xec/ns/p/c", "/exec/ns/p", "/portforward/ns/p", "/exec/ns/p/%2525/c",
			"/exec/ns/p/a%3Fb", "/exec/n;s/p/c", "/pods", "",
		} {
			f.Add(prefix + rest)
		}
	}
	f.Add("/api/v1/watch/nodes/n/proxy/exec/ns/p/c")
	f.Add("/api/v1/proxy/nodes/n/exec/ns/p/c")
	f.Add("/api/v1/namespaces/ns/pods/p/exec")
	k := newKubelet()
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || CheckPath(&http.Request{URL: u}) != nil {
			return
		}
		want, attributes := k.through(t, u)
		got := ParseTarget(u)
		if got.Proxied == "" && !got.IsStream() && got != (Target{}) {
			t.Errorf("%q: neither a stream nor proxied: %+v", path, got)
		}
		if want.Proxied == "" {
			if got.Proxied != "" {
				t.Errorf("%q is no stream of a kubelet's, and is taken for %+v", path, got)
			}
			return
		}
		if isDisguised(u) {
			return
		}
		if got != want {
			t.Errorf("%q: %+v, a kubelet is asked for %+v", path, got, want)
		}
		if got.IsStream() || got.isTerminal() {
			t.Errorf("%q: edge would carry it as a stream of its own", path)
		}
		if asks := got.Attributes("create"); asks != attributes {
			t.Errorf("%q: a review for %+v, the API server's is for %+v", path, asks, attributes)
		}
	})
}

// TestAttributes checks that edge's access review for a pod's stream has the attributes that the
// API server checks for a POST to the same path.
func TestAttributes(t *testing.T) {
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	for _, path := range []string{
		"/api/v1/namespaces/ns/pods/p/exec", "/api/v1/namespaces/ns/pods/p/attach", "/api/v1/namespaces/ns/pods/p/portforward",
		"/api/v1/nodes/n:10250/proxy/exec/ns/p/c", "/api/v1/namespaces/host/pods/k/proxy/portForward/ns/p",
	} {
		u := &url.URL{Path: path}
		info, err := factory.NewRequestInfo(&http.Request{Method: http.MethodPost, URL: u})
		if err != nil {
			t.Fatal(err)
		}
		want := authorizationv1.ResourceAttributes{
			Verb: "create", Version: info.APIVersion, Resource: info.Resource, Subresource: info.Subresource, Namespace: info.Namespace, Name: info.Name,
		}
		if got := ParseTarget(u).Attributes("create"); info.Verb != "create" || got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}
