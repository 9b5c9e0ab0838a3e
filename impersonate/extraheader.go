package impersonate

import (
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// extraHeader returns the name of the header for an extra key, as net/http spells it in a header
// map. The name contains the key, in which the percent sign and everything that a header name
// cannot contain are percent-encoded. The receiver decodes the name once.
func extraHeader(key string) string {
	const hex = "0123456789ABCDEF"
	name := make([]byte, 0, len(extraPrefix)+len(key)+16)
	name = append(name, extraPrefix...)
	for i := range len(key) {
		if c := key[i]; c != '%' && httpguts.IsTokenRune(rune(c)) {
			name = append(name, c)
		} else {
			name = append(name, '%', hex[c>>4], hex[c&15])
		}
	}
	return textproto.CanonicalMIMEHeaderKey(string(name))
}

// arrives reports whether the API server decodes the same extra key from the header's name as edge
// encodes into it.
func arrives(key string) bool { return key != "" && decodeExtraKey(extraHeader(key)) == key }

// decodeExtraKey returns the extra key that the API server reads from the name of a header.
func decodeExtraKey(header string) string {
	encoded := strings.ToLower(header[len(extraPrefix):])
	key, err := url.PathUnescape(encoded)
	if err != nil {
		return encoded
	}
	return key
}
