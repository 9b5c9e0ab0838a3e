package negotiate

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"edge/streams/spdy"
)

// IsUpgrade reports whether edge must handle r as an upgrade, to serve it or to refuse it.
//
// On the path of a stream, every request with an Upgrade header is an upgrade; Choose returns the
// error if it is invalid. On other paths, WebSocket handshakes are upgrades, and SPDY upgrades
// where the path may lead to a stream.
//
// A load balancer may remove the Upgrade header and keep "Connection: Upgrade". Such a request is a
// plain one, which the API server refuses: see lostupgrade.go in package bridge.
func IsUpgrade(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	switch {
	case len(upgrade) == 0:
		return false
	case ParseTarget(r.URL).IsStream(), isDisguised(r.URL):
		return true
	case r.ProtoMajor != 1 || r.ProtoMinor < 1, !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade"):
		return false
	case httpguts.HeaderValuesContainsToken(upgrade, WebSocket):
		return r.Method == http.MethodGet || mayLeadToStream(r.URL.Path)
	}
	return hasToken(upgrade, spdy.Protocol) && mayLeadToStream(r.URL.Path)
}

// BeginsStream reports whether r is an upgrade to an exec, attach or port-forward, also through a
// proxy subresource. Such a request requires the verb create, whatever its HTTP method.
func BeginsStream(r *http.Request) bool { return IsUpgrade(r) && ParseTarget(r.URL) != Target{} }

// IgnoreUpgrade removes an Upgrade header that edge does not support, so that the request becomes a
// plain one. RFC 9110 section 7.8 permits this, and the API server does the same. rewriteHeader in
// package bridge removes the headers that Connection names.
func IgnoreUpgrade(h http.Header) {
	if _, ok := h["Upgrade"]; !ok {
		return
	}
	delete(h, "Upgrade")
	dropWebSocket(h)
}

// mayLeadToStream reports whether path may lead to a stream that edge does not serve itself. Such
// paths are below the proxy of a node, pod or service. In an aggregated API they are below a proxy
// subresource or end in the subresource of a stream.
func mayLeadToStream(path string) bool {
	if IsProxied(path) {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/apis/")
	if !ok {
		return false
	}
	part := strings.Split(rest, "/") // the parts of a path: group, version, resource, name, subresource
	subresource := 4
	if part[min(2, len(part)-1)] == "namespaces" {
		subresource = 6
	}
	if len(part) <= subresource {
		return false
	}
	switch part[len(part)-1] {
	case VerbExec, VerbAttach, VerbPortForward:
		return true
	}
	return part[subresource] == "proxy"
}
