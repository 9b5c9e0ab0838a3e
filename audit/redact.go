package audit

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	// redacted stands where a token was.
	redacted = "REDACTED"
	// tokenBegins every JWT: the base64url of `{"`.
	tokenBegins = "eyJ"
)

// token is a JWS in its compact form, RFC 7515 section 7.1; a JWE begins with one.
var token = regexp.MustCompile(tokenBegins + `[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// accessToken is the query parameter that RFC 6750 section 2.3 gives to a bearer token of any kind. Nobody reads it here, but
// somebody may have sent it.
const accessToken = "access_token"

func hasToken(s string) bool { return strings.Contains(s, tokenBegins) && token.MatchString(s) }

func redact(s string) string {
	if !strings.Contains(s, tokenBegins) {
		return s
	}
	return token.ReplaceAllLiteralString(s, redacted)
}

// redactPath takes an escaped path, and replaces each segment that has a token in it, escaped or not.
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

// redactQuery replaces the value of each parameter that is, or has in it, a token, and the whole parameter where its
// name has one. The order and the spelling of the others stay. The words of a command are not looked at: whether they are on
// record is the policy's.
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

// unescaped returns what s means, or s itself where it means nothing.
func unescaped(s string, unescape func(string) (string, error)) string {
	if plain, err := unescape(s); err == nil {
		return plain
	}
	return s
}

// Bounds of what an event takes from a request, in bytes. kube-apiserver has none but its bound of a header.
const (
	maxRecordedName  = 1024
	maxRecordedPath  = 8192
	maxRecordedQuery = 16384
	// truncated ends what was cut, as in kube-apiserver's user agents.
	truncated = "...TRUNCATED"
)

// eventRequest is the part of a request that an event is made of, without tokens.
func eventRequest(r *http.Request) *http.Request {
	u := &url.URL{
		Scheme: r.URL.Scheme, Opaque: cut(redact(r.URL.Opaque), maxRecordedPath), // of a request without a path
		RawPath:    redactPath(r.URL.EscapedPath()),
		ForceQuery: r.URL.ForceQuery, RawQuery: cut(redactQuery(r.URL.RawQuery), maxRecordedQuery),
	}
	u.Path = unescaped(u.RawPath, url.PathUnescape)
	if len(u.RawPath) > maxRecordedPath {
		u.RawPath, u.Path = "", cut(u.Path, maxRecordedPath)
	}
	header := http.Header{"User-Agent": {redact(r.UserAgent())}}
	if way, ok := r.Header["X-Forwarded-For"]; ok { // edge's own word
		header["X-Forwarded-For"] = way
	}
	return &http.Request{Method: r.Method, URL: u, Header: header, RemoteAddr: r.RemoteAddr}
}

// eventAttributes are for the event: the policy has seen the whole of them.
func eventAttributes(a *authorizer.AttributesRecord) *authorizer.AttributesRecord {
	c := *a
	for _, s := range []*string{&c.Verb, &c.Namespace, &c.APIGroup, &c.APIVersion, &c.Resource, &c.Subresource, &c.Name} {
		*s = cut(redact(*s), maxRecordedName)
	}
	return &c
}

// cut bounds s, and lets go of what s is a part of.
func cut(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	return s[:most] + truncated
}
