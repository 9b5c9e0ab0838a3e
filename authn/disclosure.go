package authn

import "encoding/json"

// maxClientMessageBytes bounds how much of the operator's message the client receives, in bytes.
const maxClientMessageBytes = 1 << 10

// disclose removes the ClientMessage of a refusal unless signature, issuer and audience of the
// token are right. So all clients that guess tokens receive the same answer, whatever is wrong with
// the token.
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

// audienceAccepted reports whether aud contains one of the issuer's audiences. It also works for a
// token that go-oidc refuses for another reason.
func (v *verification) audienceAccepted() bool {
	if v.idToken != nil {
		return v.issuer.accepts(v.idToken.Audience)
	}
	// Decoded as by go-oidc: the case of the name is ignored, and the last member wins.
	var said struct {
		Audience json.RawMessage `json:"aud"`
	}
	if json.Unmarshal(v.jws.payload, &said) != nil {
		return false
	}
	audiences, err := stringOrList(said.Audience)
	return err == nil && v.issuer.accepts(audiences)
}
