package audit

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	// redacted is written in place of a token.
	redacted = "REDACTED"
	// tokenBegins is how every JWT begins: the base64url encoding of `{"`.
	tokenBegins = "eyJ"
)

// token matches a JWS (signed token) in compact form (RFC 7515 section 7.1). It also matches the
// beginning of a JWE (encrypted token).
var token = regexp.MustCompile(tokenBegins + `[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// accessToken is the query parameter for a bearer token of any kind (RFC 6750 section 2.3). edge
// does not authenticate by it, but a client may send it.
const accessToken = "access_token"

func hasToken(s string) bool { return strings.Contains(s, tokenBegins) && token.MatchString(s) }

func redact(s string) string {
	if !strings.Contains(s, tokenBegins) {
		return s
	}
	return token.ReplaceAllLiteralString(s, redacted)
}

// redactPath replaces each segment of an escaped path that contains a token, escaped or not, by
// REDACTED.
func redactPath(escaped string) string {
	if !strings.Contains(escaped, tokenBegins) && !strings.Contains(escaped, "%") {
		return escaped
	}
	segments := strings.Split(escaped, "/")
	for i, segment := range segments {
		if hasToken(unescaped(segment, url.PathUnescape)) {
			segments[i] = redacted
		}
	}
	return strings.Join(segments, "/")
}

// redactQuery replaces by REDACTED the value of each parameter that is or contains a token, and the
// whole parameter if its name contains a token. The order and the encoding of the other parameters
// do not change. The arguments of a command stay as they are: the audit policy decides whether they
// are recorded.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		switch key := unescaped(rawKey, url.QueryUnescape); {
		case hasToken(key):
			pairs[i] = redacted
		case key == "command":
		case key == accessToken, hasToken(unescaped(rawValue, url.QueryUnescape)):
			pairs[i] = rawKey + "=" + redacted
		}
	}
	return strings.Join(pairs, "&")
}

// unescaped decodes s with the function unescape. It returns s unchanged if unescape returns an
// error.
func unescaped(s string, unescape func(string) (string, error)) string {
	if plain, err := unescape(s); err == nil {
		return plain
	}
	return s
}

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
