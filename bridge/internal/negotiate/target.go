package negotiate

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"edge/bridge/internal/status"
	"edge/streams"
)

// Target is whose stream a request asks for: a pod's subresource, or the same by
// way of a proxy, where it looks like any other request. The zero target is every
// other request.
//
// A proxied target is passed on unread. It has the kubelet's own words, exec,
// attach, portForward and run, so that it is not taken for one that edge carries.
type Target struct {
	Verb      string // exec, attach or portforward
	Namespace string
	Pod       string

	Proxied        string // "nodes" or "pods": whose proxy leads to a kubelet; "" if none
	proxy          string // its name as it is written: n, n:port or scheme:n:port
	proxyNamespace string // of a pod's
}

const (
	VerbExec        = "exec"
	VerbAttach      = "attach"
	VerbPortForward = "portforward"
)

// isStreamVerb knows the subresources of a pod that are streams.
func isStreamVerb(verb string) bool {
	return verb == VerbExec || verb == VerbAttach || verb == VerbPortForward
}

func (t Target) IsStream() bool { return t.Verb != "" && t.Proxied == "" }
func (t Target) isTerminal() bool {
	return t.IsStream() && (t.Verb == VerbExec || t.Verb == VerbAttach)
}

// Via is how the log says by which proxy a target is reached; "" if by none.
func (t Target) Via() string {
	if t.Proxied == "" {
		return ""
	}
	return t.Proxied + "/" + t.proxy
}

// Attributes are what an API server asks its authorizer for such a request with
// this verb. For the WebSocket that it is, a GET, it would ask get, on a proxy in
// every release: a review for create is what makes up for it.
func (t Target) Attributes(verb string) authorizationv1.ResourceAttributes {
	if t.Proxied != "" {
		return authorizationv1.ResourceAttributes{
			Verb: verb, Version: "v1", Resource: t.Proxied, Subresource: "proxy", Namespace: t.proxyNamespace, Name: t.proxy,
		}
	}
	return authorizationv1.ResourceAttributes{
		Verb: verb, Version: "v1", Resource: "pods", Subresource: t.Verb, Namespace: t.Namespace, Name: t.Pod,
	}
}

// ParseTarget recognises, in exactly these forms (no escape, no empty and no dot
// segment, see disguised):
//
//	/api/v1/namespaces/{ns}/pods/{pod}/{exec, attach or portforward}
//	/api/v1/nodes/{node}/proxy/{what the kubelet serves, see kubeletTarget}
//	/api/v1/namespaces/{ns}/pods/{pod}/proxy/{the same}
func ParseTarget(u *url.URL) Target { return targetOf(u.EscapedPath()) }

// isDisguised tells whether a path is no target as it is written, but would be one
// to a server that decodes or cleans it first, as an API server does before it
// hands a path to a kubelet. There must not be two ways to read a path on which an
// upgrade begins.
func isDisguised(u *url.URL) bool {
	return ParseTarget(u) == Target{} && readTarget(path.Clean(u.Path)) != Target{}
}

// CheckPath refuses what two servers could read in two ways: a request line
// without a path of its own (net/url's Opaque), raw spaces, which end the target of
// HTTP/1.1's request line (net/http refuses them there, and not in HTTP/2's :path),
// and dot segments, which some server behind a path prefix might walk up.
func CheckPath(r *http.Request) error {
	u := r.URL
	if strings.Contains(r.RequestURI, " ") {
		return status.BadRequest(status.ReasonPath, "the request's path or query has a raw space; write %%20")
	}
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return status.BadRequest(status.ReasonPath, "the request has no path")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return status.BadRequest(status.ReasonPath, "the path has a dot segment")
		}
	}
	return nil
}

func targetOf(escaped string) Target {
	if strings.Contains(escaped, "%") {
		return Target{}
	}
	return readTarget(escaped)
}

// readTarget reads a decoded path. A percent sign in it is a name's: a kubelet
// looks a pod up by its name and takes any uid beside it.
func readTarget(decoded string) Target {
	rest, ok := strings.CutPrefix(decoded, "/api/v1/")
	if !ok {
		return Target{}
	}
	part := strings.Split(rest, "/")
	if slices.ContainsFunc(part, func(s string) bool { return !isName(s) }) {
		return Target{}
	}
	if len(part) > 3 && part[0] == "nodes" && part[2] == "proxy" {
		t := kubeletTarget(part[3:])
		if t.Verb != "" {
			t.Proxied, t.proxy = "nodes", part[1]
		}
		return t
	}
	if len(part) < 5 || part[0] != "namespaces" || part[2] != "pods" {
		return Target{}
	}
	switch verb := part[4]; {
	case len(part) > 5 && verb == "proxy": // a pod of the host's network has the kubelet's address
		t := kubeletTarget(part[5:])
		if t.Verb != "" {
			t.Proxied, t.proxy, t.proxyNamespace = "pods", part[3], part[1]
		}
		return t
	case len(part) == 5 && isStreamVerb(verb):
		return Target{Verb: verb, Namespace: part[1], Pod: part[3]}
	}
	return Target{}
}

// kubeletTarget reads what follows a proxy, as a kubelet's router does, which
// tells cases apart (InstallAuthRequiredHandlers):
//
//	/{exec, attach or run}/{ns}/{pod}/{container}
//	/{exec, attach or run}/{ns}/{pod}/{uid}/{container}
//	/portForward/{ns}/{pod}
//	/portForward/{ns}/{pod}/{uid}
func kubeletTarget(part []string) Target {
	least := 4
	switch part[0] {
	case "exec", "attach", "run":
	case "portForward":
		least = 3
	default:
		return Target{}
	}
	if len(part) < least || len(part) > least+1 {
		return Target{}
	}
	return Target{Verb: part[0], Namespace: part[1], Pod: part[2]}
}

func isName(s string) bool { return s != "" && s != "." && s != ".." }

// streamSet derives the streams of an exec or attach from its query, with the
// API server's reading of booleans (Convert_Slice_string_To_bool). A terminal
// has no stderr and has sizes.
func streamSet(q url.Values) streams.Set {
	tty := QueryBool(q, "tty")
	return streams.Set{
		Stdin:    QueryBool(q, "stdin"),
		Stdout:   QueryBool(q, "stdout"),
		Stderr:   QueryBool(q, "stderr") && !tty,
		Terminal: tty,
	}
}

// IsEndless tells requests whose answer has no end in sight: watches and logs that
// are followed, by whatever way. It may take others for such, and their answers then
// come no faster than these.
func IsEndless(r *http.Request) bool {
	path, raw := r.URL.Path, r.URL.RawQuery
	if strings.Contains(path, "/watch/") && !strings.Contains(path, "/proxy/") { // /api/v1/watch/..., /apis/g/v/watch/...
		return true
	}
	if !strings.Contains(raw, "watch") && !strings.Contains(raw, "follow") && !strings.Contains(raw, "%") {
		return false
	}
	q := r.URL.Query()
	return QueryBool(q, "watch") || QueryBool(q, "follow")
}

func QueryBool(q url.Values, key string) bool {
	v, ok := q[key]
	return ok && len(v) > 0 && v[0] != "0" && !strings.EqualFold(v[0], "false")
}

// IsProxied tells whether a path is below the proxy of a node, pod or service.
func IsProxied(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/v1/")
	if !ok {
		return false
	}
	part := strings.SplitN(rest, "/", 6)
	switch {
	case len(part) >= 3 && part[0] == "nodes":
		return part[2] == "proxy"
	case len(part) >= 5 && part[0] == "namespaces" && (part[2] == "pods" || part[2] == "services"):
		return part[4] == "proxy"
	}
	return false
}
