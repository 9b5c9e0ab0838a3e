package bridge

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestParseOriginsRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"*":                         "https://*.example.com", // the error message shows this example instead of *
		"":                          "",
		"null":                      "scheme",
		"example.com":               "scheme",
		"//example.com":             "",
		"ftp://example.com":         "scheme",
		"wss://example.com":         "scheme",
		"https://":                  "host",
		"https://*":                 "host",
		"https://*.":                "host",
		"https://*.*.example.com":   "host",
		"https://a.*.example.com":   "host",
		"https://a*.example.com":    "host",
		"*.example.com":             "",
		"*://example.com":           "",
		"https://*.10.0.0.1":        "subdomains",
		"https://*.[::1]":           "",
		"https://[::1%25eth0]":      "",
		"https://example.com/":      "more than",
		"https://example.com/path":  "more than",
		"https://example.com?q":     "more than",
		"https://example.com#f":     "more than",
		"https://u:p@example.com":   "more than",
		"https://example.com:":      "port",
		"https://example.com:0":     "port",
		"https://example.com:65536": "port",
		"https://example.com:x":     "URL",
		"https://.example.com":      "host",
		"https://example..com":      "host",
		"https://example.com.":      "host",
		"https://bücher.example":    "punycode",
		"https://\u212aube.example": "punycode", // the Kelvin sign becomes k in lower case
		" https://example.com":      "",
		"https://example.com ":      "",
		"https://a.com,https://b":   "",
		"https://a.com https://b":   "",
	} {
		all, err := parseOrigins([]string{"https://good.example", text})
		if err == nil {
			t.Errorf("%q is taken for %+v", text, all)
		} else if !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "bridge: allowed origin ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestOriginsAllow checks whether edge allows a web page of a given origin, without a list of
// allowed origins and with one. It is the table behind row CrossSiteWebSocket of the attack corpus
// in docs/security.md. edge's own host, as the client sends it in Host, is edge.example.
func TestOriginsAllow(t *testing.T) {
	t.Parallel()
	listed := []string{
		"https://console.example", "HTTPS://Upper.Example:8443", "http://localhost:3000", "https://*.apps.example", "https://[2001:db8::1]",
		"https://*.ported.example:8443", "https://xn--bcher-kva.example:443",
	}
	for _, test := range []struct {
		origin  []string
		own     bool // true: edge allows the origin if the operator has configured no list
		allowed bool // true: edge allows the origin if the list is the variable listed
	}{
		{nil, true, true}, // no Origin: the client is no browser

		{[]string{"https://edge.example"}, true, true},
		{[]string{"https://edge.example:443"}, true, true},
		{[]string{"HTTPS://EDGE.example"}, true, true},
		{[]string{"http://edge.example"}, true, true}, // http is accepted: a load balancer may end TLS, and edge does not see the browser's scheme
		{[]string{"https://edge.example:8443"}, false, false},
		{[]string{"https://www.edge.example"}, false, false},
		{[]string{"https://edge.example.evil.example"}, false, false},
		{[]string{"https://edge.example@evil.example"}, false, false},
		{[]string{"https://evil.example/edge.example"}, false, false},
		{[]string{"https://edge.example/"}, false, false},
		{[]string{"https://edge.example."}, false, false},
		{[]string{"https://\u212adge.example"}, false, false},

		{[]string{"https://console.example"}, false, true},
		{[]string{"https://console.example:443"}, false, true},
		{[]string{"https://CONSOLE.example"}, false, true},
		{[]string{"http://console.example"}, false, false},
		{[]string{"https://console.example:444"}, false, false},
		{[]string{"https://a.console.example"}, false, false},
		{[]string{"https://evilconsole.example"}, false, false},
		{[]string{"https://upper.example:8443"}, false, true},
		{[]string{"https://upper.example"}, false, false},
		{[]string{"http://localhost:3000"}, false, true},
		{[]string{"http://localhost"}, false, false},
		{[]string{"https://[2001:db8::1]"}, false, true},
		{[]string{"https://[2001:db8::2]"}, false, false},
		{[]string{"https://xn--bcher-kva.example"}, false, true},
		{[]string{"https://b\u00fccher.example"}, false, false},

		{[]string{"https://a.apps.example"}, false, true},
		{[]string{"https://b.a.apps.example"}, false, true},
		{[]string{"https://apps.example"}, false, false},
		{[]string{"https://evilapps.example"}, false, false},
		{[]string{"https://.apps.example"}, false, false},
		{[]string{"https://*.apps.example"}, false, false},
		{[]string{"https://a..apps.example"}, false, false},
		{[]string{"http://a.apps.example"}, false, false},
		{[]string{"https://a.apps.example:8443"}, false, false},
		{[]string{"https://a.apps.example.evil.example"}, false, false},
		{[]string{"https://a.ported.example:8443"}, false, true},
		{[]string{"https://a.ported.example"}, false, false},

		{[]string{"null"}, false, false},
		{[]string{""}, false, false},
		{[]string{"*"}, false, false},
		{[]string{"edge.example"}, false, false},
		{[]string{"//edge.example"}, false, false},
		{[]string{"file://edge.example"}, false, false},
		{[]string{"https://edge.example https://console.example"}, false, false},
		{[]string{"https://edge.example, https://console.example"}, false, false},
		{[]string{"https://edge.example", "https://edge.example"}, false, false},
		{[]string{"https://evil.example", "https://edge.example"}, false, false},
		{[]string{}, false, false},
	} {
		for _, host := range []string{"edge.example", "Edge.Example", "edge.example:443"} {
			if host == "edge.example:443" && test.origin != nil && len(test.origin) == 1 && strings.HasPrefix(test.origin[0], "http:") {
				// The default port of http is 80, so a Host with port 443 is a different host.
				continue
			}
			r := httptest.NewRequest(http.MethodGet, "https://edge.example/", nil)
			r.Host = host
			if test.origin != nil {
				r.Header["Origin"] = test.origin
			}
			for want, list := range map[*bool][]string{&test.own: nil, &test.allowed: listed} {
				all, err := parseOrigins(list)
				if err != nil {
					t.Fatal(err)
				}
				if got := all.allows(r); got != *want {
					t.Errorf("Origin %q at %s with %q: %v, want %v", test.origin, host, list, got, *want)
				}
			}
		}
	}
}

// TestOriginOfAnotherPort checks a request whose Host has an explicit port: a page counts as one of
// edge's own host only if its Origin has the same port.
func TestOriginOfAnotherPort(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		host, origin string
		allowed      bool
	}{
		{"edge.example:8443", "https://edge.example:8443", true},
		{"edge.example:8443", "https://edge.example", false},
		{"edge.example:80", "http://edge.example", true},
		{"edge.example:443", "http://edge.example", false},
		{"[::1]:8443", "https://[::1]:8443", true},
		{"[::1]", "https://[::1]", true},
		{"127.0.0.1:8443", "https://127.0.0.1:8443", true},
		{"", "https://", false},
		{"evil.example@edge.example", "https://edge.example", false},
	} {
		r := &http.Request{Host: test.host, Header: http.Header{"Origin": {test.origin}}}
		if got := (origins{}).allows(r); got != test.allowed {
			t.Errorf("Origin %s at %q: %v", test.origin, test.host, got)
		}
	}
}

// FuzzOrigins checks that every Origin that edge allows is a plain http or https origin. Its host
// must be that of the request or one of the operator's list.
func FuzzOrigins(f *testing.F) {
	f.Add("https://console.example", "https://console.example:443", "edge.example")
	f.Add("https://*.apps.example:8443", "HTTPS://b.A.apps.example:8443", "edge.example")
	f.Add("https://[::1]", "http://[::1]:80", "[::1]:80")
	f.Add("*", "null", "edge.example:443")
	f.Add("https://*.\u212a", "https://\u212a.\u212a", "\u212a")
	f.Fuzz(func(t *testing.T, listed, from, host string) {
		all, err := parseOrigins([]string{listed})
		if err != nil {
			all = nil
		}
		r := &http.Request{Host: host, Header: http.Header{"Origin": {from}}}
		if !all.allows(r) {
			return
		}
		u, err := url.Parse(strings.ToLower(from))
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Path != "" {
			t.Fatalf("Origin %q is allowed", from)
		}
		may := []string{(&url.URL{Host: strings.ToLower(host)}).Hostname()}
		if l, err := url.Parse(strings.ToLower(listed)); all != nil && err == nil {
			may = append(may, l.Hostname())
			if parent, ok := strings.CutPrefix(l.Hostname(), "*"); ok && strings.HasSuffix(u.Hostname(), parent) && len(u.Hostname()) > len(parent) {
				return
			}
		}
		if !slices.Contains(may, u.Hostname()) {
			t.Errorf("Origin %q is allowed at %q with %q", from, host, listed)
		}
	})
}
