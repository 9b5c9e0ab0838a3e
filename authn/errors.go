package authn

import (
	"errors"
	"fmt"

	"edge/review"
)

var (
	// ErrNoCredential: nothing came that says who it is, and anonymous requests are not allowed there.
	ErrNoCredential = errors.New("authn: no credential")
	// ErrNoName: something was accepted, and yet there is nobody that a request could be sent for. Nothing may go upstream: a
	// request without a user would be edge's own (CVE-2023-48312).
	ErrNoName = errors.New("authn: a user without a name")
	// ErrNotReady is returned while the keys of a token's issuer are not in hand: the token cannot be accepted, and is not wrong.
	ErrNotReady = errors.New("authn: the issuer's keys are not in hand")
	// ErrTokenInURL: the request's own token stands in its URL as well, where every log on the way keeps it (RFC 6750 section 5.3).
	ErrTokenInURL = errors.New("authn: the bearer token is in the URL, too")
)

// errSkipped is of a check that was asked without what it looks at.
var errSkipped = errors.New("authn: a check was asked without what it looks at")

// What is wrong with a claim, or with what an expression gives; a [RefusedError] says of which.
var (
	errClaimMissing = errors.New("is missing")
	errClaimKind    = errors.New("is not a string")
	errNotStrings   = errors.New("neither a string nor a list of strings")
)

// Why an issuer's keys cannot be had.
var (
	errDocumentTooLarge = fmt.Errorf("the document is larger than %d bytes", maxDocumentBytes)
	errNoKeys           = errors.New("the issuer publishes no key that could verify a token")
)

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

// Refusals that are the same for every credential.
var (
	errTooLarge       = refused(ReasonTooLarge, fmt.Sprintf("the token is longer than %d bytes", MaxTokenBytes))
	errHeaderTooLarge = refused(ReasonTooLarge, fmt.Sprintf("the token's header is longer than %d bytes", maxJOSEHeaderBytes))
	errNotReviewable  = refused(ReasonReview, "not asked: the token has other than visible ASCII characters")
	errReviewedNo     = refused(ReasonReview, "the API server does not accept the token")
	errReviewedAway   = refused(ReasonReview, "the API server accepts the token, but for no audience of --token-passthrough-audiences")
)

// tokenReview is the kind of a [TokenReviewer]'s errors. The question has the token, which no error repeats.
var tokenReview = &review.Kind{
	Room: "authn", Name: "token review", Resource: "tokenreviews", Group: "authentication.k8s.io", Secret: true,
}

// errReviewsBusy is a 429: as many reviews wait for a turn as may.
var errReviewsBusy = tokenReview.Busy(errors.New("too many are under way and waiting"))
