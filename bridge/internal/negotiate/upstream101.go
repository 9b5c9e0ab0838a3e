package negotiate

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"k8s.io/streaming/pkg/httpstream"
)

// Check verifies that the header of the API server's 101 matches the offer, and sets u.Chosen.
func (u *Offer) Check(answer http.Header) error {
	if !httpguts.HeaderValuesContainsToken(answer["Connection"], "upgrade") || !hasToken(answer["Upgrade"], u.Protocol) {
		return ErrNotSwitched
	}
	chosen := answer[httpstream.HeaderProtocolVersion]
	if u.Opaque && u.key == "" && len(chosen) == 0 {
		return nil // some SPDY servers name no subprotocol in their 101
	}
	if u.key != "" {
		if answer.Get("Sec-Websocket-Accept") != AcceptKey(u.key) {
			return ErrBegun
		}
		if chosen = answer["Sec-Websocket-Protocol"]; u.Opaque && strings.Join(chosen, "") == "" {
			return nil // if none was offered, x/net's 101 has an empty Sec-WebSocket-Protocol
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
