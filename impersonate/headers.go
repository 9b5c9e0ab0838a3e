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

	// reserved is the prefix of all headers that only edge may set. The prefix ends without a dash,
	// because some servers read "_" as "-", so that "Impersonate_User" is the same header for them
	// as "Impersonate-User".
	reserved = "impersonate"
)

func isReserved(name string) bool {
	return len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved)
}

// impersonateHeaders returns the headers of h that begin with "Impersonate", in any case.
func impersonateHeaders(h http.Header) http.Header {
	found := make(http.Header)
	for name, values := range h {
		if isReserved(name) {
			found[name] = values
		}
	}
	return found
}

// intact reports whether value arrives unchanged in a header: it has no control character, and no
// white space at its beginning or end. The receiver would cut off the white space, so "
// system:masters" would arrive as another group than the one that edge checked.
func intact(value string) bool {
	return httpguts.ValidHeaderFieldValue(value) && textproto.TrimString(value) == value
}

func allIntact(values []string) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return !intact(value) })
}

func notIntact(what, help string) error {
	return &ForbiddenError{ErrValue, what + " has a control character, or white space at its beginning or end; " + help}
}

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

// maxQuoted bounds how much of a name a message quotes, in characters.
const maxQuoted = 100

func quote(s string) string { return fmt.Sprintf("%.*q", maxQuoted, s) }
