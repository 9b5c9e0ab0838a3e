package authn

import "errors"

// ErrNotReady is returned while the keys of a token's issuer are not in hand: the token cannot be accepted, and is not wrong.
var ErrNotReady = errors.New("authn: the issuer's keys are not in hand")

// A Reason names a kind of refusal. It is one of the short list below, so it can be a metric's label.
type Reason string

// The reasons of a [RefusedError], in the order of the checks.
const (
	ReasonCredential        Reason = "credential"         // headers that carry no credential that one could read
	ReasonTooLarge          Reason = "too_large"          // more than MaxTokenBytes
	ReasonMalformed         Reason = "malformed"          // no signed JWT in compact form
	ReasonAlgorithm         Reason = "algorithm"          // not one of the allowed ones
	ReasonIssuer            Reason = "issuer"             // no configured issuer's token
	ReasonSignature         Reason = "signature"          // no key of the issuer verifies it
	ReasonExpired           Reason = "expired"            // exp is past, or missing
	ReasonAudience          Reason = "audience"           // not meant for any configured audience
	ReasonNotYetValid       Reason = "not_yet_valid"      // nbf is more than a minute ahead
	ReasonDistributedGroups Reason = "distributed_groups" // groups that the token only refers to
	ReasonClaims            Reason = "claims"             // what a user is made of, or a rule
)

// A RefusedError says why a credential was refused. Its text holds the operator's words and ours, never anything out of the
// credential, so it is safe to log. It deliberately wraps nothing: what libraries say about a token quotes the token.
type RefusedError struct {
	Reason Reason
	Detail string
	// ClientMessage is what whoever sent the credential may read: why a token is refused whose signature, issuer and
	// audience are right, in the operator's words and ours, as above. Empty for every other credential: who guesses
	// learns nothing.
	ClientMessage string
}

func (e *RefusedError) Error() string {
	return "authn: credential refused (" + string(e.Reason) + "): " + e.Detail
}

func refused(reason Reason, detail string) error {
	return &RefusedError{Reason: reason, Detail: detail}
}

// refusedOpenly is a refusal whose words are for the log and for the token's holder alike. They name claims as the
// operator configured them, and no value.
func refusedOpenly(reason Reason, words string) error {
	return refusedWithMessage(reason, words, words)
}

// refusedWithMessage is a refusal whose holder reads other words than the log has: of an expression, which is the
// operator's, only where in the configuration it stands.
func refusedWithMessage(reason Reason, detail, clientMessage string) error {
	return &RefusedError{Reason: reason, Detail: detail, ClientMessage: clientMessage}
}
