package authn

import (
	"errors"
	"fmt"

	"edge/review"
)

var (
	// ErrNoCredential is returned if the request has no credential, and its path does not allow
	// anonymous requests.
	ErrNoCredential = errors.New("authn: no credential")
	// ErrNoName is returned if a credential is accepted, but its user has no name. Such a request
	// must not go upstream: without a user it would have the rights of edge itself
	// (CVE-2023-48312).
	ErrNoName = errors.New("authn: the authenticated user has no name")
	// ErrNotReady is returned while edge has no keys of the token's issuer. edge cannot accept the
	// token then, but the token may be good.
	ErrNotReady = errors.New("authn: the issuer's keys are not available yet")
	// ErrTokenInURL is returned if the request's own bearer token is also in its URL. Logs of every
	// server on the way to the API server would store it (RFC 6750 section 5.3).
	ErrTokenInURL = errors.New("authn: the bearer token is also in the URL")
)

// errSkipped is returned by a check whose input is missing, because an earlier check failed.
var errSkipped = errors.New("authn: check skipped, because an earlier check failed")

// Errors about a wrong claim, or about an expression with a wrong value. The [RefusedError] for the
// token names the claim or the expression.
var (
	errClaimMissing = errors.New("is missing")
	errClaimKind    = errors.New("is not a string")
	errNotStrings   = errors.New("neither a string nor a list of strings")
)

// Reasons why edge cannot get the keys of an issuer.
var (
	errDocumentTooLarge = fmt.Errorf("the document is larger than %d bytes", maxDocumentBytes)
	errNoKeys           = errors.New("the issuer publishes no key that could verify a token")
)

// A Reason is the kind of a refused credential's fault. There are only the few constants below, so
// a Reason can be a metric label.
type Reason string

// The reasons of a [RefusedError], in the order of the checks.
const (
	ReasonCredential        Reason = "credential"         // the request has several credentials, or an unreadable one
	ReasonTooLarge          Reason = "too_large"          // the token is longer than MaxTokenBytes, or its JOSE header is too long
	ReasonMalformed         Reason = "malformed"          // the token is not a signed JWT in compact form, or not an ID token
	ReasonAlgorithm         Reason = "algorithm"          // the token's signing algorithm is not allowed
	ReasonIssuer            Reason = "issuer"             // the token's iss is not the URL of a configured issuer
	ReasonSignature         Reason = "signature"          // no key of the issuer verifies the signature
	ReasonExpired           Reason = "expired"            // the token's exp is in the past or missing
	ReasonAudience          Reason = "audience"           // the token's aud contains no configured audience
	ReasonNotYetValid       Reason = "not_yet_valid"      // the token's nbf is more than a minute in the future
	ReasonDistributedGroups Reason = "distributed_groups" // the token contains only a reference to its groups
	ReasonClaims            Reason = "claims"             // a claim that is needed for the user is wrong, or a rule refuses the token
)

// Reasons are all values of Reason.
var Reasons = []Reason{
	ReasonCredential, ReasonTooLarge, ReasonMalformed, ReasonAlgorithm, ReasonIssuer, ReasonSignature, ReasonExpired,
	ReasonAudience, ReasonNotYetValid, ReasonDistributedGroups, ReasonClaims, ReasonReview,
}

// A RefusedError reports why a credential is refused. Its text is safe to log: it contains only
// words of the operator and of edge, and nothing from the credential. It deliberately wraps no
// error, because errors of libraries quote the token.
type RefusedError struct {
	Reason Reason
	Detail string
	// ClientMessage is the text that the client may receive. It is set only if the token's
	// signature, issuer and audience are right, and then states why the token is refused. Like
	// Detail, ClientMessage contains only words of the operator and of edge. It is empty for every
	// other credential, so that a client that guesses tokens learns nothing.
	ClientMessage string
	// Issuer is the place in the configuration of the issuer that the token names, from 1; 0: none
	// is known.
	Issuer int
}

func (e *RefusedError) Error() string {
	return "authn: credential refused (" + string(e.Reason) + "): " + e.Detail
}

// ofIssuer returns err with the place of an issuer, if it is a RefusedError without one.
func ofIssuer(err error, place int) error {
	known, ok := errors.AsType[*RefusedError](err)
	if !ok || place == 0 || known.Issuer != 0 {
		return err
	}
	copied := *known // edge shares some RefusedErrors
	copied.Issuer = place
	return &copied
}

func refused(reason Reason, detail string) error {
	return &RefusedError{Reason: reason, Detail: detail}
}

// refusedOpenly returns a RefusedError with the same text for the log and for the client. The text
// names claims as the operator configured them. It must contain no value of a claim.
func refusedOpenly(reason Reason, words string) error {
	return refusedWithMessage(reason, words, words)
}

// refusedWithMessage returns a RefusedError with one text for the log and another text for the
// client. Expressions are private to the operator, so the client's text contains only the place of
// an expression in the configuration.
func refusedWithMessage(reason Reason, detail, clientMessage string) error {
	return &RefusedError{Reason: reason, Detail: detail, ClientMessage: clientMessage}
}

// Refusals whose text does not depend on the credential.
var (
	errTooLarge       = refused(ReasonTooLarge, fmt.Sprintf("the token is longer than %d bytes", MaxTokenBytes))
	errHeaderTooLarge = refused(ReasonTooLarge, fmt.Sprintf("the token's header is longer than %d bytes", maxJOSEHeaderBytes))
	errNotReviewable  = refused(ReasonReview, "not sent to the API server: the token has characters other than visible ASCII")
	errReviewedNo     = refused(ReasonReview, "the API server does not accept the token")
	errReviewedAway   = refused(ReasonReview, "the API server accepts the token, but not for an audience of --token-passthrough-audiences")
)

// tokenReview is the kind of all [edge/review.Error] values that a [TokenReviewer] returns. Secret
// is set because a review contains the token, and no error may repeat the token.
var tokenReview = &review.Kind{
	Room: "authn", Name: "token review", Resource: "tokenreviews", Group: "authentication.k8s.io", Secret: true,
}

// errReviewsBusy is the 429 that a client receives if already maxWaitingReviews token reviews wait
// for their turn.
var errReviewsBusy = tokenReview.Busy(errors.New("too many token reviews are running and waiting"))
