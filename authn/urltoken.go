package authn

import (
	"net/url"
	"strconv"
	"strings"
)

const (
	// minURLToken is the length, in bytes, below which a token is not looked for: a word that short may be there by chance.
	minURLToken = 16
	// maxDecodings bounds how often a URL is percent-decoded to find a token: what is encoded more often, nobody decodes.
	maxDecodings = 4
	// redacted is what is left of a part of a URL that had a token.
	redacted = "REDACTED"
)

// StripURL takes a request's own token out of its URL, as [Strip] does of its header, and reports whether it was there: in any
// parameter's name or value, or in the path, however it is percent-encoded. A part that had it is dropped whole.
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
	if contains(u.Opaque, token) { // of a request line without a path
		u.Opaque, found = redacted, true
	}
	return found
}

// contains looks for a token in s as it stands, and as it is after each decoding.
func contains(s, token string) bool {
	for range maxDecodings {
		if len(s) < len(token) { // which no decoding makes longer
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

// percentDecoded decodes each escape, and leaves what is none: a malformed one hides nothing behind it.
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
