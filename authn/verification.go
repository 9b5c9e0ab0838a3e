package authn

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// Verified is the result for an accepted token. All requests with the token share User: read it
// only.
type Verified struct {
	User    user.Info
	Expires time.Time // the token is accepted up to this time, inclusive
	Issuer  string    // the issuer's URL, as configured
}

// verification is the state of one token while the checks run. Each check reads the results of
// earlier checks and adds its own.
type verification struct {
	rules *ruleSet
	token string
	now   time.Time
	// explaining lets the checks continue after a refusal, with claims that may be unsigned or
	// expired. The result of such a verification never authenticates a request.
	explaining bool

	jws           compactJWS
	payloadClaims claims // the decoded payload, before its signature is verified
	envelope      envelope
	issuer        *issuer
	ring          *keyRing // holds the issuer's keys
	keys          *keySet  // current keys when the verification started
	signed        bool     // a key of keys or a newer one verified the signature
	idToken       *oidc.IDToken
	claims        claims         // payloadClaims, after go-oidc accepted them
	celClaims     *lazy.MapValue // claims as a CEL value; nil: no expression reads them
	user          user.DefaultInfo
	cause         error // a library's error about a refused claim; it may quote the token
}

// VerifySignature implements [oidc.KeySet] for the token of the verification. go-oidc calls it for
// the payload, after the signature was verified.
func (v *verification) VerifySignature(context.Context, string) ([]byte, error) {
	if !v.signed && !v.explaining {
		return nil, errors.New("the signature is not verified")
	}
	return v.jws.payload, nil
}
