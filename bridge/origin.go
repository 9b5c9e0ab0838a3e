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

// origins are the web pages that may open a WebSocket, or change something, with
// what a browser adds by itself. It sends a visitor's certificate or cookie along
// whatever page asks, and asks nobody before; the Origin header, which a page cannot
// forge, is all that tells them apart (RFC 6455 section 10.2). A page of the same
// host is always allowed, also beside a list: it is edge's own, or that of whoever
// holds its name, and needs no leave.
type origins []origin

// origin is RFC 6454 section 4's: in lower case, the port as a number.
type origin struct {
	scheme string
	host   string // in a list, "*." in front stands for one label or more
	port   string
}

const anySubdomain = "*."

// parseOrigins reads what an operator allows: https://host, https://host:port, or
// https://*.host for its subdomains; http as well.
func parseOrigins(list []string) (origins, error) {
	var all origins
	for _, text := range list {
		if text == "*" {
			return nil, errors.New(`bridge: allowed origin "*" would let every web page act for whoever visits it: ` +
				"name each as https://host or https://host:port, or the subdomains of one as https://*.example.com")
		}
		scheme, rest, _ := strings.Cut(text, "://")
		rest, wild := strings.CutPrefix(rest, anySubdomain)
		o, err := parseOrigin(scheme + "://" + rest)
		if _, notAddress := netip.ParseAddr(o.host); err == nil && wild && notAddress == nil {
			err = errors.New("an address has no subdomains")
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

// check refuses what a page that is not allowed has its visitor's browser send: an
// upgrade, and each method that may change something. It looks at nothing where a
// bearer token has authenticated the request: only who has that can send it.
func (all origins) check(r *http.Request, id impersonate.Identity) error {
	if id.Bearer || all.allows(r) || isRead(r) {
		return nil
	}
	return status.New(status.ReasonOrigin, http.StatusForbidden, metav1.StatusReasonForbidden,
		"edge: pages of another origin may open no WebSocket, and change nothing, with a credential that a browser adds by itself, such as "+
			"a client certificate; --allowed-origins says which may, and with a bearer token all do")
}

// isRead tells whether a request changes nothing, and opens no stream.
func isRead(r *http.Request) bool { return roundtrip.OnlyReads(r.Method) && !negotiate.IsUpgrade(r) }

// allows tells whether a request comes from a page that may send it, or from no
// browser: that has no Origin. "null", which a sandboxed or a local page sends, is
// nobody's. Where a browser leaves Origin out, it says in Sec-Fetch-Site where the
// page is from.
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
	// edge may not know the scheme that the browser sees: a load balancer may end TLS.
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

// isForeignSite reads Sec-Fetch-Site: of cross-site and same-site requests, and of what a
// browser may say one day, some page of another origin is the author (Fetch Metadata
// section 2.3).
func isForeignSite(site string) bool { return site != "same-origin" && site != "none" }

func (o origin) matches(from origin) bool {
	if parent, wild := strings.CutPrefix(o.host, anySubdomain); wild {
		child, ok := strings.CutSuffix(from.host, "."+parent)
		return ok && child != "" && o.scheme == from.scheme && o.port == from.port
	}
	return o == from
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// parseOrigin reads the serialization of RFC 6454 section 6.1, which has no room
// for anything but scheme, host and port, and only ASCII: other letters fold to it
// and would make two names look like one.
func parseOrigin(text string) (origin, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
		return origin{}, errors.New("it has other letters than browsers send (punycode)")
	}
	u, err := url.Parse(text)
	if err != nil {
		return origin{}, errors.New("it is no URL")
	}
	port, known := defaultPorts[u.Scheme]
	if !known {
		return origin{}, errors.New("its scheme is neither https nor http")
	}
	if !strings.EqualFold(text, u.Scheme+"://"+u.Host) {
		return origin{}, errors.New("it has more than a scheme, a host and a port")
	}
	host := strings.ToLower(u.Hostname())
	if !isDomain(host) && !isAddress(u.Host, host) {
		return origin{}, errors.New("it has no host")
	}
	if named := u.Port(); named != "" {
		n, err := strconv.ParseUint(named, 10, 16)
		if err != nil || n == 0 {
			return origin{}, errors.New("its port is none")
		}
		port = strconv.FormatUint(n, 10)
	} else if strings.HasSuffix(u.Host, ":") {
		return origin{}, errors.New("its port is missing")
	}
	return origin{u.Scheme, host, port}, nil
}

// isAddress recognises the brackets of an IPv6 address; one of IPv4 passes for a
// domain.
func isAddress(written, host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is6() && a.Zone() == "" && strings.HasPrefix(written, "[")
}

// isDomain takes labels of letters, digits, hyphens and underscores, in lower case.
func isDomain(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
