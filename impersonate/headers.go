package impersonate

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
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

// Rewrite turns a client's header into the header that edge sends upstream. It is the last step
// before edge sends a request, for REST, WebSocket and SPDY. After Rewrite, the caller adds only
// its own upstream credential and, for an upgrade, Connection and Upgrade. If Rewrite returns an
// error, the request must not be sent. An identity from [Policy.Identity] causes no error.
func Rewrite(h http.Header, id Identity) error {
	switch {
	case id.edgeItself:
		// Read the client's Impersonate-* headers before strip, which removes the headers that
		// Connection names. Without them, the request would have the rights of edge itself.
		asked := impersonateHeaders(h)
		strip(h)
		maps.Copy(h, asked)
		return nil
	case id.senderToken != "":
		strip(h)
		maps.Copy(h, id.senderHeaders)
		h["Authorization"] = []string{"Bearer " + id.senderToken}
		return nil
	}
	strip(h)
	// Check the identity again, because the API server gives a request without a user name the
	// rights of edge itself.
	if err := id.check(); err != nil {
		return err
	}
	h[userHeader] = []string{id.Name}
	if id.UID != "" {
		h[uidHeader] = []string{id.UID}
	}
	if n := len(id.Groups); n > 0 {
		h[groupHeader] = id.Groups[:n:n] // other requests share this slice; its capacity is limited, so that append copies it
	}
	for key, values := range id.Extra {
		if n := len(values); n > 0 {
			h[extraHeader(key)] = values[:n:n]
		}
	}
	return nil
}

// strip removes all headers that identify the client, and all hop-by-hop headers.
func strip(h http.Header) {
	StripHopByHop(h)
	for name := range h {
		if isReserved(name) || strings.EqualFold(name, "Authorization") {
			delete(h, name)
		}
	}
}

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

// maxQuoted bounds how much of a name a message quotes, in characters.
const maxQuoted = 100

func quote(s string) string { return fmt.Sprintf("%.*q", maxQuoted, s) }
