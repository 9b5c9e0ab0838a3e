package authn

import (
	"net/url"
	"strconv"
	"strings"
)

const (
	// minURLToken is the minimum length of a token that edge looks for in a URL, in bytes. A
	// shorter word may be there by chance.
	minURLToken = 16
	// maxDecodings bounds how often a URL is percent-decoded to find a token. No server is expected
	// to decode a URL more often.
	maxDecodings = 4
	// redacted replaces a part of a URL that contained a token.
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
	if contains(u.Opaque, token) { // set for a request line without a path
		u.Opaque, found = redacted, true
	}
	return found
}

// contains looks for a token in s, and in s after each percent-decoding.
func contains(s, token string) bool {
	for range maxDecodings {
		if len(s) < len(token) { // decoding never makes s longer
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

// percentDecoded decodes each valid escape and keeps malformed ones. So a malformed escape hides
// nothing that follows it.
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
