package negotiate

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"edge/streams/spdy"
)

// IsUpgrade tells whether an Upgrade header is one that edge serves, or has to
// refuse. On a stream's path each is, and Choose says what is wrong with it.
// Elsewhere it is a WebSocket handshake, or SPDY where something may lead to a
// stream. Where a load balancer took the header off and left "Connection: Upgrade"
// behind, the request is a plain one, whose refusal is the API server's: see
// lostupgrade.go in package bridge.
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

// BeginsStream tells whether a request is an upgrade to an exec, attach or
// port-forward, also by way of a proxy: what takes create, whatever its method.
func BeginsStream(r *http.Request) bool { return IsUpgrade(r) && ParseTarget(r.URL) != Target{} }

// IgnoreUpgrade makes a plain request of one whose Upgrade means nothing, as RFC
// 9110 section 7.8 lets a server do and as the API server does. What Connection
// names goes with it, see outbound.
func IgnoreUpgrade(h http.Header) {
	if _, ok := h["Upgrade"]; !ok {
		return
	}
	delete(h, "Upgrade")
	dropWebSocket(h)
}

// mayLeadToStream tells whether a path may lead to a stream that is none of edge's: below
// the proxy of a node, pod or service, and in an aggregated API below a proxy, or as
// a stream's subresource.
func mayLeadToStream(path string) bool {
	if IsProxied(path) {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/apis/")
	if !ok {
		return false
	}
	part := strings.Split(rest, "/") // group, version, resource, name, subresource
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
