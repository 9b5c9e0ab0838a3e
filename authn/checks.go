package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// trial is one token on its way through the checks. Each check reads what those before it found, and adds to it.
type verification struct {
	rules *ruleSet
	token string
	now   time.Time
	// explaining: go on after a refusal, with claims that may be unsigned or past. Nobody is let in by such a trial.
	explaining bool

	jws           compactJWS
	payloadClaims claims // what the payload says, whoever signed it
	envelope      envelope
	issuer        *issuer
	ring          *keyRing // where the issuer's keys are
	keys          *keySet  // those that were in hand first
	signed        bool     // one of them, or a newer one, verified the signature
	idToken       *oidc.IDToken
	claims        claims         // said, once go-oidc has let it pass
	celClaims     *lazy.MapValue // claims for CEL; nil: no expression reads them
	user          user.DefaultInfo
	cause         error // what a library said about a refused claim; it may quote the token
}

// A check refuses with a [RefusedError]. It returns errSkipped where what it looks at is not there, which only happens after
// another check's refusal.
type check struct {
	name string
	run  func(*verification, context.Context) error
}

// checks are all there is to ask of a token, in the order of kube-apiserver.
var checks = []check{
	{"form", (*verification).checkForm},
	{"algorithm", (*verification).checkAlgorithm},
	{"issuer", (*verification).checkIssuer},
	{"signature", (*verification).checkSignature},
	{"expiry", (*verification).checkExpiry},
	{"audience", (*verification).checkAudience},
	{"not before", (*verification).checkNotBefore},
	{"username", (*verification).checkUsername},
	{"groups", (*verification).checkGroups},
	{"uid", (*verification).checkUID},
	{"extra", (*verification).checkExtra},
	{"required claims", (*verification).checkRequiredClaims},
	{"claim rules", (*verification).checkClaimRules},
	{"user rules", (*verification).checkUserRules},
}

var errSkipped = errors.New("authn: a check was asked without what it looks at")

// judge is the way of a token that is not remembered.
func (t *verification) verify(ctx context.Context) (Verified, error) {
	for _, check := range checks {
		if err := check.run(t, ctx); err != nil {
			return Verified{}, t.disclose(err)
		}
	}
	u := t.user // apart from the trial, which has the token
	return Verified{User: &u, Expires: t.idToken.Expiry, Issuer: t.issuer.spec.Issuer.URL}, nil
}

func (t *verification) checkForm(context.Context) error {
	if len(t.token) > MaxTokenBytes {
		return errTooLarge
	}
	parts, ok := splitJWS(t.token)
	if !ok {
		return refused(ReasonMalformed, "not three parts in base64url")
	}
	if len(parts.encodedHeader) > maxJOSEHeaderBytes {
		return errHeaderTooLarge
	}
	t.jws = parts
	return nil
}

func (t *verification) checkAlgorithm(context.Context) error {
	p := &t.jws
	if p.payload == nil {
		return errSkipped
	}
	if p.header = t.rules.headers.get(p.encodedHeader); p.header != nil {
		return nil
	}
	var err error
	p.header, err = readHeader(p.encodedHeader, t.rules.algs)
	if wrong := new(jose.ErrUnexpectedSignatureAlgorithm); errors.As(err, &wrong) {
		if t.explaining {
			p.header, _ = readHeader(p.encodedHeader, allSigningAlgs) // nil, again, if it is none of them
		}
		return refused(ReasonAlgorithm, "signed with another algorithm than is allowed")
	}
	if err != nil {
		return refused(ReasonMalformed, "not a signed JWT")
	}
	return nil
}

// checkIssuer comes before any key is tried: another issuer's token is no reason to fetch keys. It looks at a payload even if
// nobody can read the header.
func (t *verification) checkIssuer(context.Context) error {
	if t.jws.payload == nil {
		return errSkipped
	}
	err := json.Unmarshal(t.jws.payload, &t.payloadClaims)
	if err == nil {
		t.envelope, err = t.payloadClaims.envelope(t.jws.payload)
	}
	if err != nil {
		return refused(ReasonMalformed, "the payload is not a JSON object of claims")
	}
	i, ok := t.rules.find(t.envelope.Issuer)
	if !ok {
		return refused(ReasonIssuer, "iss is no configured issuer")
	}
	t.issuer, t.ring = i, i.source.ring
	return nil
}

func (t *verification) checkSignature(ctx context.Context) error {
	if t.jws.header == nil || t.issuer == nil {
		return errSkipped
	}
	// The keys from before the verification: should they change meanwhile, what is remembered is void from the start.
	t.keys = t.ring.first(ctx)
	if len(t.keys.keys) == 0 {
		return ErrNotReady
	}
	if t.signed = t.ring.verify(ctx, &t.jws); !t.signed {
		return refused(ReasonSignature, "no key of the issuer verifies the signature")
	}
	if !t.explaining { // whose header may be of an algorithm that is not allowed
		t.rules.headers.put(t.jws.encodedHeader, t.jws.header)
	}
	return nil
}

// VerifySignature makes a trial the [oidc.KeySet] of its token: go-oidc asks for the payload, once the signature is verified.
func (t *verification) VerifySignature(context.Context, string) ([]byte, error) {
	if !t.signed && !t.explaining {
		return nil, errors.New("the signature is not verified")
	}
	return t.jws.payload, nil
}

func (t *verification) checkExpiry(ctx context.Context) error {
	if t.jws.header == nil || t.issuer == nil {
		return errSkipped
	}
	// Of the text go-oidc looks at the algorithm alone, once more: payload and signature are the key set's, which is this trial.
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+t.jws.header.Header.Algorithm+`"}`)) + ".."
	id, err := oidc.NewVerifier(t.issuer.spec.Issuer.URL, t, t.rules.verifier).Verify(ctx, text)
	if err != nil && t.explaining {
		anyTime := *t.rules.verifier
		anyTime.SupportedSigningAlgs, anyTime.SkipExpiryCheck = signingAlgs, true
		id, _ = oidc.NewVerifier(t.issuer.spec.Issuer.URL, t, &anyTime).Verify(ctx, text)
	}
	if id != nil {
		t.idToken, t.claims = id, t.payloadClaims
		if t.issuer.usesCEL() {
			t.celClaims = t.claims.values()
		}
	}
	expired := new(oidc.TokenExpiredError)
	switch {
	case errors.As(err, &expired):
		return refusedWithMessage(ReasonExpired, "exp is past", "the token has expired: log in again")
	case err != nil && t.envelope.tooEarly(t.now):
		return t.checkNotBefore(ctx)
	case err != nil:
		return refusedOpenly(ReasonMalformed, "the claims are not those of an ID token")
	}
	return nil
}

func (t *verification) checkAudience(context.Context) error {
	switch {
	case t.idToken == nil:
		return errSkipped
	case !t.issuer.accepts(t.idToken.Audience):
		return refused(ReasonAudience, "aud contains none of the issuer's configured audiences")
	}
	return nil
}

func (t *verification) checkNotBefore(context.Context) error {
	switch {
	case t.issuer == nil:
		return errSkipped
	case t.envelope.tooEarly(t.now):
		return refusedWithMessage(ReasonNotYetValid, "nbf is in the future", "the token is not valid yet: try again later, or compare the issuer's clock with edge's")
	}
	return nil
}
