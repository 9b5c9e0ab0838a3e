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

// Target identifies the pod stream that a request is for. The request names a subresource of the
// pod, or it reaches the kubelet through a proxy subresource. The zero Target stands for any other
// request.
//
// If the request goes through a proxy subresource, edge does not parse the stream. The Verb is then
// the one in the kubelet's path: exec, attach, portForward or run.
type Target struct {
	Verb      string // exec, attach or portforward; if Proxied is set: exec, attach, portForward or run
	Namespace string
	Pod       string

	// Proxied is "nodes" or "pods" if the path leads to a kubelet through the API server's proxy
	// for a node or a pod, and "" otherwise.
	Proxied        string
	proxy          string // the proxy's name as in the path: name, name:port or scheme:name:port
	proxyNamespace string // namespace of the pod that the proxy leads to; "" for a node
}

const (
	VerbExec        = "exec"
	VerbAttach      = "attach"
	VerbPortForward = "portforward"
)

// isStreamVerb reports whether verb is a subresource of pods that is a stream.
func isStreamVerb(verb string) bool {
	return verb == VerbExec || verb == VerbAttach || verb == VerbPortForward
}

func (t Target) IsStream() bool { return t.Verb != "" && t.Proxied == "" }
func (t Target) isTerminal() bool {
	return t.IsStream() && (t.Verb == VerbExec || t.Verb == VerbAttach)
}

// Via names the API server's proxy that leads to the target, for the log; "" if there is none.
func (t Target) Via() string {
	if t.Proxied == "" {
		return ""
	}
	return t.Proxied + "/" + t.proxy
}

// Attributes returns the attributes that the API server's authorizer checks for the target and
// verb. edge uses them to review the verb create. That is needed for a WebSocket, which is a GET:
// API servers before 1.35 check only get for it, and on a proxy subresource all releases check only
// get.
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

// ParseTarget returns the target of a path that has exactly one of these forms, without escapes,
// empty segments or dot segments (see isDisguised). It returns the zero Target for all other paths.
//
//	/api/v1/namespaces/{ns}/pods/{pod}/{exec, attach or portforward}
//	/api/v1/nodes/{node}/proxy/{a path of the kubelet, see kubeletTarget}
//	/api/v1/namespaces/{ns}/pods/{pod}/proxy/{a path of the kubelet}
func ParseTarget(u *url.URL) Target { return targetOf(u.EscapedPath()) }

// isDisguised reports whether the path of u is not the path of a stream as written, but becomes one
// when a server decodes or cleans it. An API server does so before it forwards a path to a kubelet.
// edge refuses upgrades on such paths, because two servers must not interpret a path differently.
func isDisguised(u *url.URL) bool {
	return ParseTarget(u) == Target{} && readTarget(path.Clean(u.Path)) != Target{}
}

// CheckPath refuses paths that two servers could interpret differently:
//
//	no path in the request line  net/url stores such a target in Opaque
//	raw spaces                   they end the target of an HTTP/1.1 request line; net/http refuses
//	                             them there, but not in the :path of HTTP/2
//	dot segments                 a server behind a path prefix might resolve them
func CheckPath(r *http.Request) error {
	u := r.URL
	if strings.Contains(r.RequestURI, " ") {
		return status.BadRequest(status.ReasonPath, "invalid request: its path or query contains a space: write it as %%20")
	}
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return status.BadRequest(status.ReasonPath, "invalid request: it has no path")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return status.BadRequest(status.ReasonPath, "invalid path: it contains a \".\" or \"..\" segment")
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

// readTarget parses a decoded path. A percent sign in the decoded path is part of a name. It cannot
// mislead the kubelet, which finds a pod by its name and accepts any uid in the path.
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
	// A pod in the host network has the kubelet's IP address, so the API server's proxy for this
	// pod leads to the kubelet too.
	case len(part) > 5 && verb == "proxy":
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

// kubeletTarget parses the path behind a proxy as a kubelet's router does
// (InstallAuthRequiredHandlers). The router is case-sensitive.
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

// streamSet derives the streams of an exec or attach from the query. It parses booleans as the API
// server does (Convert_Slice_string_To_bool). With a terminal, stderr does not exist and resize
// events do.
func streamSet(q url.Values) streams.Set {
	tty := QueryBool(q, "tty")
	return streams.Set{
		Stdin:    QueryBool(q, "stdin"),
		Stdout:   QueryBool(q, "stdout"),
		Stderr:   QueryBool(q, "stderr") && !tty,
		Terminal: tty,
	}
}

// IsEndless reports whether the answer to r may have no end, as that of a watch or a followed log,
// on any path. Such answers get a narrow HTTP/2 receive window. IsEndless may also report true for
// requests whose answer does end: because of the narrow window, such an answer arrives more slowly.
func IsEndless(r *http.Request) bool {
	path, raw := r.URL.Path, r.URL.RawQuery
	// Paths of watches: /api/v1/watch/..., /apis/GROUP/VERSION/watch/...
	if strings.Contains(path, "/watch/") && !strings.Contains(path, "/proxy/") {
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

// IsProxied reports whether path is below the proxy subresource of a node, pod or service.
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
