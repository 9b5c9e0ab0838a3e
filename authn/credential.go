package authn

import (
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// MaxTokenBytes is the length limit of a token. edge and kube-apiserver limit the whole header of a
// request to the same size. A token with a thousand groups has about 100 KiB.
const MaxTokenBytes = 1 << 20

const (
	authorization = "Authorization"
	// protocols is the header name Sec-WebSocket-Protocol, as net/http spells it in a header map.
	protocols = "Sec-Websocket-Protocol"
	// bearerProtocol is the prefix of a WebSocket subprotocol that carries a bearer token. The
	// token follows the prefix in base64url without padding. Browsers send tokens in this way,
	// because they cannot set Authorization on a WebSocket.
	bearerProtocol = "base64url.bearer.authorization.k8s.io."
)

// Credential returns the bearer token of a request. ok is false if the request has no credential,
// or only an Authorization of another scheme, such as Basic. The error is a [RefusedError] if the
// request has several Authorization headers or bearer subprotocols, two different tokens, or an
// unreadable token.
func Credential(r *http.Request) (token string, ok bool, err error) {
	fromHeader, inHeader, err := headerToken(r.Header[authorization])
	if err != nil {
		return "", false, err
	}
	if !isWebSocketUpgrade(r) {
		return fromHeader, inHeader, nil
	}
	fromProtocol, inProtocol, err := protocolToken(r.Header[protocols])
	if err != nil {
		return "", false, err
	}
	switch {
	case !inProtocol:
		return fromHeader, inHeader, nil
	case inHeader && fromHeader != fromProtocol:
		return "", false, refused(ReasonCredential, "Authorization and the WebSocket subprotocol carry different tokens")
	}
	return fromProtocol, true, nil
}

// Strip removes both kinds of bearer credential from a header: Authorization and the subprotocol
// with a token. It removes them whether they were accepted or not, so that edge forwards neither.
// Strip joins the other subprotocols into one line, because the API server reads only the first
// line.
func Strip(h http.Header) {
	h.Del(authorization)
	lines, ok := h[protocols]
	if !ok {
		return
	}
	kept := make([]string, 0, 8)
	for _, line := range lines {
		for protocol := range strings.SplitSeq(line, ",") {
			protocol = strings.TrimSpace(protocol)
			// Remove every subprotocol that contains the prefix of a bearer token anywhere, in
			// upper or lower case. The function Credential reads a token only behind the exact
			// prefix. Another server may be less strict, and everything that Strip keeps is sent
			// upstream.
			if protocol != "" && !strings.Contains(strings.ToLower(protocol), bearerProtocol) {
				kept = append(kept, protocol)
			}
		}
	}
	if len(kept) == 0 {
		h.Del(protocols)
		return
	}
	h[protocols] = []string{strings.Join(kept, ", ")}
}

// headerToken returns the token in Authorization as RFC 6750 section 2.1 defines it: one line that
// contains "Bearer", one space and the token.
func headerToken(lines []string) (string, bool, error) {
	switch len(lines) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", false, refused(ReasonCredential, "more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(lines[0]), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "", false, nil
	}
	if token == "" || strings.ContainsAny(token, " \t") {
		return "", false, refused(ReasonCredential, "Authorization must consist of Bearer, one space and a token")
	}
	if len(token) > MaxTokenBytes {
		return "", false, errTooLarge
	}
	return token, true, nil
}

// protocolToken returns the bearer token among the WebSocket subprotocols. The client must offer
// another subprotocol too: edge's response has to name one of them, and must not name the token.
func protocolToken(lines []string) (token string, ok bool, err error) {
	others := false
	for _, line := range lines {
		for protocol := range strings.SplitSeq(line, ",") {
			protocol = strings.TrimSpace(protocol)
			encoded, isToken := strings.CutPrefix(protocol, bearerProtocol)
			switch {
			case !isToken:
				others = others || protocol != ""
				continue
			case ok:
				return "", false, refused(ReasonCredential, "more than one bearer token among the WebSocket subprotocols")
			case len(encoded) > base64.RawURLEncoding.EncodedLen(MaxTokenBytes):
				return "", false, errTooLarge
			}
			raw, err := base64.RawURLEncoding.DecodeString(encoded)
			if err != nil || len(raw) == 0 || !utf8.Valid(raw) {
				return "", false, refused(ReasonCredential, "the bearer subprotocol does not contain a token in base64url without padding")
			}
			token, ok = string(raw), true
		}
	}
	if ok && !others {
		return "", false, refused(ReasonCredential, "the client offers a bearer subprotocol, but no other subprotocol that the server could select")
	}
	return token, ok, nil
}

// isWebSocketUpgrade reports whether r is a WebSocket upgrade. Only then may a subprotocol be a
// credential. It reads Connection and Upgrade as lists, as RFC 6455 section 4.2.1 requires.
func isWebSocketUpgrade(r *http.Request) bool {
	return httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket") &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade")
}
