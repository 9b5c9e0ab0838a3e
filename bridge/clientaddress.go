package bridge

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwardedFor is how net/http spells it in a header map.
const forwardedFor = "X-Forwarded-For"

// maxHops bounds the hops of X-Forwarded-For that are looked at, from the nearest.
const maxHops = 32

// trustedProxies are the networks whose word about where a request came from is
// believed.
type trustedProxies []netip.Prefix

// setForwardedFor replaces all that a client says about who or where it is by what edge
// knows: X-Forwarded-For becomes the client's address, and after it those of the
// proxies that vouch for it, the nearest last. Afterwards it is edge's own word.
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

// forwardedPath is the addresses from the client to the peer: the rightmost one that is not
// a trusted proxy's is the client. What stands left of it is only said.
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

// hopAddress reads one hop: an address, or as some proxies write it, with a port.
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

// ClientIP is where a request came from, as far as edge can know: the client's
// address, or where a trusted proxy vouches for it, the one that it names. It is
// for use after ServeHTTP has begun; "" if the server does not know the peer.
func ClientIP(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get(forwardedFor), ",")
	return first
}

// isProxyHeader tells whether a header is a client's word about who or where it is,
// which the API server might take for a front proxy's: X-Remote-User and its like
// make a requestor, X-Real-Ip and X-Forwarded-For an address in the audit log.
// "_" is "-" to some servers.
func isProxyHeader(name string) bool {
	switch {
	case len(name) < len("Forwarded"):
		return false
	case name[0] != 'F' && name[0] != 'f' && name[0] != 'X' && name[0] != 'x': // most are neither
		return false
	}
	switch name = strings.ReplaceAll(strings.ToLower(name), "_", "-"); name {
	case "forwarded", "x-real-ip":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-remote-")
}
