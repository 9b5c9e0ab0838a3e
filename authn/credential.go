package authn

import (
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// MaxTokenBytes is the longest token that is looked at: what a request's whole header may have, here and at kube-apiserver. One of
// a thousand groups has about 100 KiB.
const MaxTokenBytes = 1 << 20

const (
	authorization = "Authorization"
	// protocols is Sec-WebSocket-Protocol as net/http spells it in a header map.
	protocols = "Sec-Websocket-Protocol"
	// bearerProtocol begins the subprotocol by which a browser, which cannot set Authorization on a WebSocket, sends a
	// bearer token: base64url without padding follows.
	bearerProtocol = "base64url.bearer.authorization.k8s.io."
)

// Credential returns the bearer token that came with a request. ok is false where none came, or only another scheme's
// credential. A request that says two things, or something that cannot be read, is refused with a [RefusedError].
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

// Strip removes both kinds of credential from a header, whether they were accepted or not, so that none travels on. The
// subprotocols that stay are left in one line: the API server reads only the first.
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
			// Anywhere and in any case: wider than what is accepted, since what is left goes upstream.
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

// headerToken reads Authorization as RFC 6750 section 2.1 has it: one line, "Bearer", one space, the token.
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
		return "", false, refused(ReasonCredential, "Authorization is not Bearer, one space and a token")
	}
	if len(token) > MaxTokenBytes {
		return "", false, errTooLarge
	}
	return token, true, nil
}

// protocolToken finds the token among the subprotocols. Beside it there must be a real one, because the answer has to
// name one and may not name the token.
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
				return "", false, refused(ReasonCredential, "the bearer subprotocol is not base64url without padding of a token")
			}
			token, ok = string(raw), true
		}
	}
	if ok && !others {
		return "", false, refused(ReasonCredential, "a bearer subprotocol needs a real subprotocol beside it")
	}
	return token, ok, nil
}

// isWebSocketUpgrade reads Connection and Upgrade as lists, as RFC 6455 section 4.2.1 wants. Only there is a subprotocol a
// credential.
func isWebSocketUpgrade(r *http.Request) bool {
	return httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket") &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade")
}
