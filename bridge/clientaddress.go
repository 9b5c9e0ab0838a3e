package bridge

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwardedFor is the canonical key of X-Forwarded-For in an http.Header.
const forwardedFor = "X-Forwarded-For"

// maxHops is the maximum number of addresses in X-Forwarded-For that edge reads, counted from the
// proxy nearest to edge. It includes the address at the other end of edge's TCP connection.
const maxHops = 32

// trustedProxies are the networks of the proxies whose X-Forwarded-For edge trusts.
type trustedProxies []netip.Prefix

// isPeer reports whether the other end of the request's TCP connection is a trusted proxy.
func (t trustedProxies) isPeer(r *http.Request) bool {
	if len(t) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && t.contains(peer.Addr())
}

// setForwardedFor deletes every header in which the client states who or where it is. It then sets
// X-Forwarded-For to the client's address, followed by the addresses of the trusted proxies, the
// nearest last. Afterwards X-Forwarded-For contains only addresses that edge has checked.
func (t trustedProxies) setForwardedFor(r *http.Request) {
	said := r.Header[forwardedFor]
	for name := range r.Header {
		if isProxyHeader(name) {
			delete(r.Header, name)
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return
	}
	r.Header[forwardedFor] = []string{t.forwardedPath(host, said)}
}

// forwardedPath returns the addresses on the way from the client to peer, the other end of edge's
// TCP connection. The parameter said contains the lines of X-Forwarded-For. The client is the
// rightmost address that does not belong to a trusted proxy. Addresses further left are dropped,
// because no trusted proxy vouches for them.
func (t trustedProxies) forwardedPath(peer string, said []string) string {
	address, err := netip.ParseAddr(peer)
	if err != nil || !t.contains(address) || len(said) == 0 {
		return peer
	}
	hops := []string{peer}
	for left := strings.Join(said, ","); left != "" && len(hops) < maxHops; {
		comma := strings.LastIndexByte(left, ',')
		address, err := hopAddress(left[comma+1:])
		if err != nil {
			break
		}
		left = left[:max(comma, 0)]
		hops = append(hops, address.Unmap().String())
		if !t.contains(address) {
			break
		}
	}
	slices.Reverse(hops)
	return strings.Join(hops, ", ")
}

func (t trustedProxies) contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(t, func(p netip.Prefix) bool { return p.Contains(a) })
}

// hopAddress parses one address of X-Forwarded-For. Some proxies write a port after the address.
func hopAddress(hop string) (netip.Addr, error) {
	hop = strings.TrimSpace(hop)
	if a, err := netip.ParseAddr(hop); err == nil {
		return a, nil
	}
	if a, err := netip.ParseAddrPort(hop); err == nil {
		return a.Addr(), nil
	}
	return netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(hop, "["), "]"))
}

// ClientIP returns the address of the client, as far as edge can know it: the other end of the TCP
// connection, or the address that trusted proxies report. Call it after ServeHTTP has begun. It
// returns "" if the HTTP server does not know the other end's address.
func ClientIP(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get(forwardedFor), ",")
	return first
}

// isProxyHeader reports whether name is a header in which proxies state who or where a client is.
// The API server might take such a header for one that a front proxy has set. X-Remote-User and
// similar headers would set the requestor; X-Real-Ip and X-Forwarded-For would set an address in
// the audit log. Some servers treat "_" in a name as "-", so "_" is treated as "-" here too.
func isProxyHeader(name string) bool {
	switch {
	case len(name) < len("Forwarded"):
		return false
	case name[0] != 'F' && name[0] != 'f' && name[0] != 'X' && name[0] != 'x':
		return false
	}
	switch name = strings.ReplaceAll(strings.ToLower(name), "_", "-"); name {
	case "forwarded", "x-real-ip":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-remote-")
}
