package authn

import (
	"errors"
	"net/url"
	"strings"
)

// ErrTokenInURL: the request's own token stands in its URL as well, where every log on the way keeps it (RFC 6750 section 5.3).
var ErrTokenInURL = errors.New("authn: the bearer token is in the URL, too")

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
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high >= 0 && low >= 0 {
				b = append(b, byte(high<<4|low))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// unhex is a hexadecimal digit's value, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
