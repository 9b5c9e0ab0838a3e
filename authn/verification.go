package authn

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// Verified is what a good token says. User is shared by all requests with that token: read it only.
type Verified struct {
	User    user.Info
	Expires time.Time // the token is good up to and at this time
	Issuer  string    // the issuer's URL, as it is configured
}

// verification is one token on its way through the checks. Each check reads what those before it found, and adds to it.
type verification struct {
	rules *ruleSet
	token string
	now   time.Time
	// explaining: go on after a refusal, with claims that may be unsigned or past. Nobody is let in by it.
	explaining bool

	jws           compactJWS
	payloadClaims claims // what the payload says, whoever signed it
	envelope      envelope
	issuer        *issuer
	ring          *keyRing // where the issuer's keys are
	keys          *keySet  // those that were in hand first
	signed        bool     // one of them, or a newer one, verified the signature
	idToken       *oidc.IDToken
	claims        claims         // payloadClaims, once go-oidc has let them pass
	celClaims     *lazy.MapValue // claims, as CEL sees them; nil: no expression reads them
	user          user.DefaultInfo
	cause         error // what a library said about a refused claim; it may quote the token
}

// VerifySignature makes a verification the [oidc.KeySet] of its token: go-oidc asks for the payload, once the signature
// is verified.
func (v *verification) VerifySignature(context.Context, string) ([]byte, error) {
	if !v.signed && !v.explaining {
		return nil, errors.New("the signature is not verified")
	}
	return v.jws.payload, nil
}
