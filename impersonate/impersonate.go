package impersonate

import (
	"maps"
	"net/http"
	"strings"
)

// Rewrite makes a client's header the one that goes upstream. It is the last step before a request leaves, on every
// path; only the caller's own upstream credential and, for an upgrade, Connection and Upgrade come after it. With an
// error, which an identity from [Policy.Identity] does not cause, the request must not be sent.
func Rewrite(h http.Header, id Identity) error {
	switch {
	case id.edgeItself:
		asked := impersonateHeaders(h) // also what Connection names: without it, the request would go upstream as edge itself
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
	// Looked at again, because what is sent without a name is sent as edge itself.
	if err := id.check(); err != nil {
		return err
	}
	h[userHeader] = []string{id.Name}
	if id.UID != "" {
		h[uidHeader] = []string{id.UID}
	}
	if n := len(id.Groups); n > 0 {
		h[groupHeader] = id.Groups[:n:n] // shared: whoever adds a line copies it
	}
	for key, values := range id.Extra {
		if n := len(values); n > 0 {
			h[extraHeader(key)] = values[:n:n]
		}
	}
	return nil
}

// strip removes whatever says who the client is, and what was meant for us alone.
func strip(h http.Header) {
	StripHopByHop(h)
	for name := range h {
		if isReserved(name) || strings.EqualFold(name, "Authorization") {
			delete(h, name)
		}
	}
}
