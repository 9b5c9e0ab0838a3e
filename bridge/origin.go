package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/roundtrip"
	"edge/bridge/internal/status"
	"edge/impersonate"
)

// origins lists the origins whose pages may open WebSockets or send writes with a credential that
// the browser adds by itself. A browser sends the visitor's certificate or cookie with the requests
// of any page, and asks neither the visitor nor edge first. Only the Origin header, which a page
// cannot forge, shows which page sent a request (RFC 6455 section 10.2). A page of edge's own host
// needs no entry and is always allowed, because edge or the owner of its host name has published
// that page.
type origins []origin

// origin is a web origin (RFC 6454 section 4), in lower case and with a numeric port.
type origin struct {
	scheme string
	host   string // in a list entry, a leading "*." stands for one or more labels
	port   string
}

const anySubdomain = "*."

// parseOrigins parses the origins that an operator allows: https://host, https://host:port, or
// https://*.host for all subdomains of host. The scheme http is accepted too.
func parseOrigins(list []string) (origins, error) {
	var all origins
	for _, text := range list {
		if text == "*" {
			return nil, errors.New(`bridge: allowed origin "*" would let every web page act with its visitor's credential: ` +
				"list each origin as https://host or https://host:port, or all subdomains of a host as https://*.example.com")
		}
		scheme, rest, _ := strings.Cut(text, "://")
		rest, wild := strings.CutPrefix(rest, anySubdomain)
		o, err := parseOrigin(scheme + "://" + rest)
		if _, notAddress := netip.ParseAddr(o.host); err == nil && wild && notAddress == nil {
			err = errors.New("an IP address has no subdomains")
		}
		if err != nil {
			return nil, fmt.Errorf("bridge: allowed origin %q: %w; write https://host, https://host:port or https://*.example.com", text, err)
		}
		if wild {
			o.host = anySubdomain + o.host
		}
		all = append(all, o)
	}
	return all, nil
}

// check refuses upgrades, and methods that may change something, if a page of an origin that is not
// allowed sends them. It allows every request that was authenticated by a bearer token, because
// only a page that holds the token can send it.
func (all origins) check(r *http.Request, id impersonate.Identity) error {
	if id.Bearer || all.allows(r) || isRead(r) {
		return nil
	}
	return status.New(status.ReasonOrigin, http.StatusForbidden, metav1.StatusReasonForbidden,
		"edge: web pages of another origin may not open WebSockets or send writes with a credential that the browser adds by itself, such as "+
			"a client certificate: allow the origin with --allowed-origins, or send a bearer token")
}

// isRead reports whether r changes nothing and opens no stream.
func isRead(r *http.Request) bool { return roundtrip.OnlyReads(r.Method) && !negotiate.IsUpgrade(r) }

// allows reports whether edge may serve r: an allowed web page sent r, or r does not come from a
// browser at all. A request without an Origin header does not come from a browser, unless
// Sec-Fetch-Site states another site: a browser may omit Origin but then reports the page's site
// there. The origin "null", which sandboxed and local pages send, is never allowed.
func (all origins) allows(r *http.Request) bool {
	lines, ok := r.Header["Origin"]
	if !ok {
		return !slices.ContainsFunc(r.Header["Sec-Fetch-Site"], isForeignSite)
	}
	if len(lines) != 1 {
		return false
	}
	from, err := parseOrigin(lines[0])
	if err != nil {
		return false
	}
	// The schemes are not compared: if a load balancer ends TLS, edge does not know which scheme
	// the browser sees.
	if own, err := parseOrigin(from.scheme + "://" + r.Host); err == nil && own == from {
		return true
	}
	for _, o := range all {
		if o.matches(from) {
			return true
		}
	}
	return false
}

// isForeignSite reports whether a Sec-Fetch-Site value means that a page of another origin sent the
// request (Fetch Metadata section 2.3): cross-site, same-site, and any value that browsers may add
// later.
func isForeignSite(site string) bool { return site != "same-origin" && site != "none" }

func (o origin) matches(from origin) bool {
	if parent, wild := strings.CutPrefix(o.host, anySubdomain); wild {
		child, ok := strings.CutSuffix(from.host, "."+parent)
		return ok && child != "" && o.scheme == from.scheme && o.port == from.port
	}
	return o == from
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// parseOrigin parses a serialized origin (RFC 6454 section 6.1): a scheme, a host and a port,
// nothing else. It accepts only ASCII, because some other letters fold to ASCII letters and would
// make two different names look the same.
func parseOrigin(text string) (origin, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
		return origin{}, errors.New("the origin contains non-ASCII characters; write the host in punycode, as browsers do")
	}
	u, err := url.Parse(text)
	if err != nil {
		return origin{}, errors.New("the origin is not a valid URL")
	}
	port, known := defaultPorts[u.Scheme]
	if !known {
		return origin{}, errors.New("the scheme must be https or http")
	}
	if !strings.EqualFold(text, u.Scheme+"://"+u.Host) {
		return origin{}, errors.New("the origin contains more than a scheme, a host and a port")
	}
	host := strings.ToLower(u.Hostname())
	if !isDomain(host) && !isAddress(u.Host, host) {
		return origin{}, errors.New("the host is missing or invalid")
	}
	if named := u.Port(); named != "" {
		n, err := strconv.ParseUint(named, 10, 16)
		if err != nil || n == 0 {
			return origin{}, errors.New("the port is not a number from 1 to 65535")
		}
		port = strconv.FormatUint(n, 10)
	} else if strings.HasSuffix(u.Host, ":") {
		return origin{}, errors.New("the port is missing after the colon")
	}
	return origin{u.Scheme, host, port}, nil
}

// isAddress reports whether host is an IPv6 address, which was written in brackets in an origin. An
// IPv4 address does not need this check, because isDomain accepts it.
func isAddress(written, host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is6() && a.Zone() == "" && strings.HasPrefix(written, "[")
}

// isDomain reports whether host consists of labels (the parts between dots) of lower-case letters,
// digits, hyphens and underscores.
func isDomain(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
