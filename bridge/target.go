package bridge

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/streams/spdy"
)

// target is whose stream a request asks for: a pod's subresource, or the same by
// way of a proxy, where it looks like any other request. The zero target is every
// other request.
//
// A proxied target is passed on unread. It has the kubelet's own words, exec,
// attach, portForward and run, so that it is not taken for one that edge carries.
type target struct {
	verb      string // exec, attach or portforward
	namespace string
	pod       string

	proxied        string // "nodes" or "pods": whose proxy leads to a kubelet; "" if none
	proxy          string // its name as it is written: n, n:port or scheme:n:port
	proxyNamespace string // of a pod's
}

const (
	verbExec        = "exec"
	verbAttach      = "attach"
	verbPortForward = "portforward"
)

func (t target) isStream() bool { return t.verb != "" && t.proxied == "" }
func (t target) isTerminal() bool {
	return t.isStream() && (t.verb == verbExec || t.verb == verbAttach)
}

// via is how the log says by which proxy a target is reached; "" if by none.
func (t target) via() string {
	if t.proxied == "" {
		return ""
	}
	return t.proxied + "/" + t.proxy
}

// attributes are what an API server asks its authorizer for such a request with
// this verb. For the WebSocket that it is, a GET, it would ask get, on a proxy in
// every release: a review for create is what makes up for it.
func (t target) attributes(verb string) authorizationv1.ResourceAttributes {
	if t.proxied != "" {
		return authorizationv1.ResourceAttributes{
			Verb: verb, Version: "v1", Resource: t.proxied, Subresource: "proxy", Namespace: t.proxyNamespace, Name: t.proxy,
		}
	}
	return authorizationv1.ResourceAttributes{
		Verb: verb, Version: "v1", Resource: "pods", Subresource: t.verb, Namespace: t.namespace, Name: t.pod,
	}
}

// parseTarget recognises, in exactly these forms (no escape, no empty and no dot
// segment, see disguised):
//
//	/api/v1/namespaces/{ns}/pods/{pod}/{exec, attach or portforward}
//	/api/v1/nodes/{node}/proxy/{what the kubelet serves, see kubeletTarget}
//	/api/v1/namespaces/{ns}/pods/{pod}/proxy/{the same}
func parseTarget(u *url.URL) target { return targetOf(u.EscapedPath()) }

// disguised tells whether a path is no target as it is written, but would be one
// to a server that decodes or cleans it first, as an API server does before it
// hands a path to a kubelet. There must not be two ways to read a path on which an
// upgrade begins.
func disguised(u *url.URL) bool {
	return parseTarget(u) == target{} && readTarget(path.Clean(u.Path)) != target{}
}

// checkMethod refuses those that are not about what their path names: CONNECT goes
// on without its path, and the answer to a TRACE may be the request itself, with
// edge's credential (RFC 9110 sections 9.3.6 and 9.3.8).
func checkMethod(method string) error {
	if method == http.MethodConnect || method == http.MethodTrace {
		return failure(ReasonMethod, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "edge: CONNECT and TRACE are not for the Kubernetes API")
	}
	return nil
}

// checkPath refuses what two servers could read in two ways: a request line
// without a path of its own (net/url's Opaque), raw spaces, which end the target of
// HTTP/1.1's request line (net/http refuses them there, and not in HTTP/2's :path),
// and dot segments, which some server behind a path prefix might walk up.
func checkPath(r *http.Request) error {
	u := r.URL
	if strings.Contains(r.RequestURI, " ") {
		return badRequest(ReasonPath, "the request's path or query has a raw space; write %%20")
	}
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return badRequest(ReasonPath, "the request has no path")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return badRequest(ReasonPath, "the path has a dot segment")
		}
	}
	return nil
}

func targetOf(escaped string) target {
	if strings.Contains(escaped, "%") {
		return target{}
	}
	return readTarget(escaped)
}

// readTarget reads a decoded path. A percent sign in it is a name's: a kubelet
// looks a pod up by its name and takes any uid beside it.
func readTarget(decoded string) target {
	rest, ok := strings.CutPrefix(decoded, "/api/v1/")
	if !ok {
		return target{}
	}
	part := strings.Split(rest, "/")
	if slices.ContainsFunc(part, func(s string) bool { return !isName(s) }) {
		return target{}
	}
	if len(part) > 3 && part[0] == "nodes" && part[2] == "proxy" {
		t := kubeletTarget(part[3:])
		if t.verb != "" {
			t.proxied, t.proxy = "nodes", part[1]
		}
		return t
	}
	if len(part) < 5 || part[0] != "namespaces" || part[2] != "pods" {
		return target{}
	}
	switch verb := part[4]; {
	case len(part) > 5 && verb == "proxy": // a pod of the host's network has the kubelet's address
		t := kubeletTarget(part[5:])
		if t.verb != "" {
			t.proxied, t.proxy, t.proxyNamespace = "pods", part[3], part[1]
		}
		return t
	case len(part) == 5 && (verb == verbExec || verb == verbAttach || verb == verbPortForward):
		return target{verb: verb, namespace: part[1], pod: part[3]}
	}
	return target{}
}

// kubeletTarget reads what follows a proxy, as a kubelet's router does, which
// tells cases apart (InstallAuthRequiredHandlers):
//
//	/{exec, attach or run}/{ns}/{pod}/{container}
//	/{exec, attach or run}/{ns}/{pod}/{uid}/{container}
//	/portForward/{ns}/{pod}
//	/portForward/{ns}/{pod}/{uid}
func kubeletTarget(part []string) target {
	least := 4
	switch part[0] {
	case "exec", "attach", "run":
	case "portForward":
		least = 3
	default:
		return target{}
	}
	if len(part) < least || len(part) > least+1 {
		return target{}
	}
	return target{verb: part[0], namespace: part[1], pod: part[2]}
}

func isName(s string) bool { return s != "" && s != "." && s != ".." }

// streamSet derives the streams of an exec or attach from its query, with the
// API server's reading of booleans (Convert_Slice_string_To_bool). A terminal
// has no stderr and has sizes.
func streamSet(q url.Values) spdy.Set {
	tty := queryBool(q, "tty")
	return spdy.Set{
		Stdin:    queryBool(q, "stdin"),
		Stdout:   queryBool(q, "stdout"),
		Stderr:   queryBool(q, "stderr") && !tty,
		Terminal: tty,
	}
}

// isEndless tells requests whose answer has no end in sight: watches and logs that
// are followed, by whatever way. It may take others for such, and their answers then
// come no faster than these.
func isEndless(r *http.Request) bool {
	path, raw := r.URL.Path, r.URL.RawQuery
	if strings.Contains(path, "/watch/") && !strings.Contains(path, "/proxy/") { // /api/v1/watch/..., /apis/g/v/watch/...
		return true
	}
	if !strings.Contains(raw, "watch") && !strings.Contains(raw, "follow") && !strings.Contains(raw, "%") {
		return false
	}
	q := r.URL.Query()
	return queryBool(q, "watch") || queryBool(q, "follow")
}

func queryBool(q url.Values, key string) bool {
	v, ok := q[key]
	return ok && len(v) > 0 && v[0] != "0" && !strings.EqualFold(v[0], "false")
}
