package authn

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// Verified is the user and the expiry of an accepted token. All requests with the token share User:
// read it only.
type Verified struct {
	User    user.Info
	Expires time.Time // the token is accepted up to this time, inclusive
	Issuer  string    // the issuer's URL, as configured
	Place   int       // the issuer's place in the configuration, from 1
}

// verification is the state of one token while the checks of the token run. Each check reads the
// results of earlier checks and adds its own.
type verification struct {
	rules *ruleSet
	token string
	now   time.Time
	// explaining is true for [Authenticator.Explain]: the checks continue after a refusal, with
	// claims that may be unsigned or expired. The result of such a verification never authenticates
	// a request.
	explaining bool

	jws           compactJWS
	payloadClaims claims // the decoded payload, before its signature is verified
	envelope      envelope
	issuer        *issuer
	ring          *keyRing // holds the current keys of the token's issuer
	keys          *keySet  // the issuer's keys at the time when the verification started
	signed        bool     // a key of the issuer, from the field keys or fetched later, verified the signature
	idToken       *oidc.IDToken
	claims        claims         // the field payloadClaims, after go-oidc accepted these claims
	celClaims     *lazy.MapValue // the field claims as a CEL value; nil: no expression reads the claims
	user          user.DefaultInfo
	cause         error // CEL's error, if an expression could not be evaluated; it may quote the token
}

// VerifySignature implements [oidc.KeySet] for the token of this verification. go-oidc calls
// VerifySignature to get the payload; edge has verified the signature before.
func (v *verification) VerifySignature(context.Context, string) ([]byte, error) {
	if !v.signed && !v.explaining {
		return nil, errors.New("the signature is not verified")
	}
	return v.jws.payload, nil
}
