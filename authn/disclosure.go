package authn

import "encoding/json"

// maxClientMessageBytes bounds what the holder of a token reads of the operator's message.
const maxClientMessageBytes = 1 << 10

// disclose leaves a refusal its ClientMessage only where the token is no guess: signature, issuer and audience are
// right. All others read the same, whatever is wrong with them.
func (v *verification) disclose(err error) error {
	wrong, ok := err.(*RefusedError)
	if !ok || wrong.ClientMessage == "" {
		return err
	}
	if genuine := v.signed && v.audienceAccepted(); genuine {
		return err
	}
	return refused(wrong.Reason, wrong.Detail)
}

// audienceAccepted reports whether aud has one of the issuer's audiences, also in a token that go-oidc refuses for
// something else.
func (v *verification) audienceAccepted() bool {
	if v.idToken != nil {
		return v.issuer.accepts(v.idToken.Audience)
	}
	var said struct { // as go-oidc reads it: in whatever case, and the last one counts
		Audience json.RawMessage `json:"aud"`
	}
	if json.Unmarshal(v.jws.payload, &said) != nil {
		return false
	}
	audiences, err := stringOrList(said.Audience)
	return err == nil && v.issuer.accepts(audiences)
}
