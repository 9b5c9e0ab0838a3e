package audit

import (
	"net/url"
	"regexp"
	"strings"
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

func withoutTokens(s string) string {
	if !strings.Contains(s, tokenBegins) {
		return s
	}
	return token.ReplaceAllLiteralString(s, redacted)
}

// pathWithoutTokens takes an escaped path, and replaces each segment that has a token in it, escaped or not.
func pathWithoutTokens(escaped string) string {
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

// queryWithoutTokens replaces the value of each parameter that is, or has in it, a token, and the whole parameter where its
// name has one. The order and the spelling of the others stay. The words of a command are not looked at: whether they are on
// record is the policy's.
func queryWithoutTokens(query string) string {
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
