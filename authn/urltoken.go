package authn

import (
	"net/url"
	"strconv"
	"strings"
)

const (
	// minURLToken is the minimum length, in bytes, of a bearer token that edge searches for in its
	// request's URL. A shorter token, such as "web", may be equal to a part of the URL by chance,
	// and the request would be refused.
	minURLToken = 16
	// maxDecodings bounds how often edge percent-decodes a URL to find a token in it. No server is
	// expected to decode a URL more often.
	maxDecodings = 4
	// redacted replaces the part of a URL that contained the request's token.
	redacted = "REDACTED"
)

// StripURL removes a request's own token from its URL, as [Strip] does for the header. It reports
// whether the token was in the path, or in the name or value of a query parameter, in any
// percent-encoding. StripURL replaces the whole path or query that contained the token.
func StripURL(u *url.URL, token string) bool {
	if len(token) < minURLToken {
		return false
	}
	found := false
	if contains(u.RawQuery, token) {
		u.RawQuery, found = redacted, true
	}
	if contains(u.Path, token) {
		u.Path, u.RawPath, found = "/"+redacted, "", true
	}
	if contains(u.Opaque, token) { // Opaque is set if the request line has no path
		u.Opaque, found = redacted, true
	}
	return found
}

// contains reports whether s contains the token, as it is or after up to maxDecodings
// percent-decodings.
func contains(s, token string) bool {
	for range maxDecodings {
		if len(s) < len(token) { // s is too short for the token, and decoding never makes s longer
			return false
		}
		if strings.Contains(s, token) {
			return true
		}
		plain := percentDecoded(s)
		if plain == s {
			return false
		}
		s = plain
	}
	return strings.Contains(s, token)
}

// percentDecoded decodes each valid percent escape in s and keeps malformed ones. It continues
// after a malformed escape, so that a client cannot hide a token behind one.
func percentDecoded(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
