package negotiate

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"k8s.io/streaming/pkg/httpstream"
)

// Check holds upstream's 101 against what was asked.
func (u *Offer) Check(answer http.Header) error {
	if !httpguts.HeaderValuesContainsToken(answer["Connection"], "upgrade") || !hasToken(answer["Upgrade"], u.Protocol) {
		return ErrNotSwitched
	}
	chosen := answer[httpstream.HeaderProtocolVersion]
	if u.Opaque && u.key == "" && len(chosen) == 0 {
		return nil // some servers name none, or know of none
	}
	if u.key != "" {
		if answer.Get("Sec-Websocket-Accept") != AcceptKey(u.key) {
			return ErrBegun
		}
		if chosen = answer["Sec-Websocket-Protocol"]; u.Opaque && strings.Join(chosen, "") == "" {
			return nil // x/net writes an empty line where nothing was offered
		}
	}
	switch {
	case len(chosen) == 1 && slices.Contains(u.Subprotocols, chosen[0]):
		u.Chosen = chosen[0]
		return nil
	case u.key != "":
		return ErrBegun
	}
	return ErrNotSwitched
}
