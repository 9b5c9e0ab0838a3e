package authn

import (
	"encoding/json"
	"errors"
)

// maxClientMessageBytes bounds how much of the operator's message for a rule the client receives,
// in bytes.
const maxClientMessageBytes = 1 << 10

// disclose removes the ClientMessage of a refusal unless the token's signature, issuer and audience
// are right. So all clients that guess tokens receive the same response, whatever is wrong with the
// token.
func (v *verification) disclose(err error) error {
	wrong, ok := errors.AsType[*RefusedError](err)
	if !ok || wrong.ClientMessage == "" {
		return err
	}
	if genuine := v.signed && v.audienceAccepted(); genuine {
		return err
	}
	return refused(wrong.Reason, wrong.Detail)
}

// audienceAccepted reports whether the token's aud contains one of the issuer's audiences. It also
// works if go-oidc refused the token for a reason other than the audience.
func (v *verification) audienceAccepted() bool {
	if v.idToken != nil {
		return v.issuer.accepts(v.idToken.Audience)
	}
	// Decode aud as go-oidc does: encoding/json ignores the case of the name, and the last of
	// several aud members counts.
	var said struct {
		Audience json.RawMessage `json:"aud"`
	}
	if json.Unmarshal(v.jws.payload, &said) != nil {
		return false
	}
	audiences, err := stringOrList(said.Audience)
	return err == nil && v.issuer.accepts(audiences)
}
