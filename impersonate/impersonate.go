package impersonate

import (
	"maps"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	userHeader  = "Impersonate-User"
	uidHeader   = "Impersonate-Uid"
	groupHeader = "Impersonate-Group"

	// reserved begins all headers that are ours to set. Without a dash: "Impersonate_User" is an alias to servers that
	// take "_" for "-".
	reserved = "impersonate"
)

// hopByHop are the headers that are meant for the next hop, named in Connection or not (RFC 9110 section 7.6.1).
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// Rewrite makes a client's header the one that goes upstream. It is the last step before a request leaves, on every path; only
// the caller's own upstream credential and, for an upgrade, Connection and Upgrade come after it. With an error, which
// an identity from [Policy.Identity] does not cause, the request must not be sent.
func Rewrite(h http.Header, id Identity) error {
	switch {
	case id.self:
		wish := wishOf(h) // also what Connection names: without it, the request would go upstream with the owner's own rights
		strip(h)
		maps.Copy(h, wish)
		return nil
	case id.own != "":
		strip(h)
		maps.Copy(h, id.wish)
		h["Authorization"] = []string{"Bearer " + id.own}
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

// wishOf returns the headers that say whom a client wants to be.
func wishOf(h http.Header) http.Header {
	wish := make(http.Header)
	for name, values := range h {
		if isReserved(name) {
			wish[name] = values
		}
	}
	return wish
}

// StripHopByHop removes what was meant for us alone: the headers that Connection names, and those that are always hop by hop.
// A client that takes trailers may still say so (gRPC needs it).
func StripHopByHop(h http.Header) {
	trailers := httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
}

func isReserved(name string) bool {
	return len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved)
}
