package impersonate

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	userHeader  = "Impersonate-User"
	uidHeader   = "Impersonate-Uid"
	groupHeader = "Impersonate-Group"
	extraPrefix = "Impersonate-Extra-"

	// reserved begins all headers that are ours to set. Without a dash: "Impersonate_User" is an alias to servers that
	// take "_" for "-".
	reserved = "impersonate"
)

func isReserved(name string) bool {
	return len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved)
}

// impersonateHeaders returns those headers that say whom a client asks to impersonate.
func impersonateHeaders(h http.Header) http.Header {
	found := make(http.Header)
	for name, values := range h {
		if isReserved(name) {
			found[name] = values
		}
	}
	return found
}

// intact reports whether a value arrives as it is: no control character, and no white space around it, which the receiver
// cuts off: " system:masters" would arrive as another group than the one that was looked at.
func intact(value string) bool {
	return httpguts.ValidHeaderFieldValue(value) && textproto.TrimString(value) == value
}

func allIntact(values []string) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return !intact(value) })
}

func notIntact(what, help string) error {
	return &ForbiddenError{ErrValue, what + " has a control character, or white space around it; " + help}
}

// extraHeader returns the header that an extra key travels in, spelled as it stands in a header map. What no header name may
// contain is percent-encoded, and so is the percent sign: the receiver decodes once.
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

// arrives reports whether the API server reads an extra key as it is.
func arrives(key string) bool { return key != "" && decodeExtraKey(extraHeader(key)) == key }

// decodeExtraKey returns the key that the API server reads out of a header's name.
func decodeExtraKey(header string) string {
	encoded := strings.ToLower(header[len(extraPrefix):])
	key, err := url.PathUnescape(encoded)
	if err != nil {
		return encoded
	}
	return key
}

// maxQuoted bounds how much of a name goes into a message.
const maxQuoted = 100

func quote(s string) string { return fmt.Sprintf("%.*q", maxQuoted, s) }
