package authn

import "encoding/json"

// maxToldBytes bounds what the holder of a token reads of the operator's message.
const maxClientMessageBytes = 1 << 10

// told is a refusal whose words are for the log and for the token's holder alike. They name claims as the operator configured
// them, and no value.
func refusedOpenly(reason Reason, words string) error {
	return refusedWithMessage(reason, words, words)
}

// toldElse is a refusal whose holder reads other words than the log has: of an expression, which is the operator's, only where
// in the configuration it stands.
func refusedWithMessage(reason Reason, detail, words string) error {
	return &RefusedError{Reason: reason, Detail: detail, ClientMessage: words}
}

// aloud leaves a refusal its words for the holder only where the token is no guess: signature, issuer and audience are right.
// All others read the same, whatever is wrong with them.
func (t *verification) disclose(err error) error {
	wrong, ok := err.(*RefusedError)
	if !ok || wrong.ClientMessage == "" || t.signed && t.audienceAccepted() {
		return err
	}
	return refused(wrong.Reason, wrong.Detail)
}

// forEdge reports whether aud has one of the issuer's audiences, also in a token that go-oidc refuses for something else.
func (t *verification) audienceAccepted() bool {
	if t.idToken != nil {
		return t.issuer.accepts(t.idToken.Audience)
	}
	var said struct { // as go-oidc reads it: in whatever case, and the last one counts
		Audience json.RawMessage `json:"aud"`
	}
	if json.Unmarshal(t.jws.payload, &said) != nil {
		return false
	}
	audiences, err := stringOrList(said.Audience)
	return err == nil && t.issuer.accepts(audiences)
}
