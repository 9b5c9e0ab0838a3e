package audit

import (
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Limits on what an event takes from a request, in bytes. kube-apiserver only limits the size of
// the header.
const (
	maxRecordedName  = 1024
	maxRecordedPath  = 8192
	maxRecordedQuery = 16384
	// truncated marks a value that was cut, as in kube-apiserver's user agents.
	truncated = "...TRUNCATED"
)

// eventRequest copies the parts of a request that an event is made of, without tokens.
func eventRequest(r *http.Request) *http.Request {
	u := &url.URL{
		Scheme: r.URL.Scheme, Opaque: cut(redact(r.URL.Opaque), maxRecordedPath), // set only if the URL has no path
		RawPath:    redactPath(r.URL.EscapedPath()),
		ForceQuery: r.URL.ForceQuery, RawQuery: cut(redactQuery(r.URL.RawQuery), maxRecordedQuery),
	}
	u.Path = unescaped(u.RawPath, url.PathUnescape)
	if len(u.RawPath) > maxRecordedPath {
		u.RawPath, u.Path = "", cut(u.Path, maxRecordedPath)
	}
	header := http.Header{"User-Agent": {redact(r.UserAgent())}}
	if way, ok := r.Header["X-Forwarded-For"]; ok { // package bridge has removed all addresses that edge could not check
		header["X-Forwarded-For"] = way
	}
	return &http.Request{Method: r.Method, URL: u, Header: header, RemoteAddr: r.RemoteAddr}
}

// eventAttributes returns the attributes for the event: without tokens, and long values cut. The
// audit policy was evaluated on the full values.
func eventAttributes(a *authorizer.AttributesRecord) *authorizer.AttributesRecord {
	c := *a
	for _, s := range []*string{&c.Verb, &c.Namespace, &c.APIGroup, &c.APIVersion, &c.Resource, &c.Subresource, &c.Name} {
		*s = cut(redact(*s), maxRecordedName)
	}
	return &c
}

// cut returns a copy of s. The parameter most is the maximum length in bytes. If s is longer, the
// copy is cut after that many bytes and ends in the mark truncated. The copy does not keep the
// memory of the request alive.
func cut(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	return s[:most] + truncated
}
