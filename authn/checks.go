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
type trial struct {
	conf  *configuration
	token string
	now   time.Time
	// explaining: go on after a refusal, with claims that may be unsigned or past. Nobody is let in by such a trial.
	explaining bool

	parts    parts
	said     claims // what the payload says, whoever signed it
	envelope envelope
	issuer   *issuer
	ring     *keyRing // where the issuer's keys are
	keys     *keySet  // those that were in hand first
	signed   bool     // one of them, or a newer one, verified the signature
	id       *oidc.IDToken
	claims   claims         // said, once go-oidc has let it pass
	values   *lazy.MapValue // claims for CEL; nil: no expression reads them
	user     user.DefaultInfo
	cause    error // what a library said about a refused claim; it may quote the token
}

// A check refuses with a [RefusedError]. It returns errSkipped where what it looks at is not there, which only happens after
// another check's refusal.
type check struct {
	name string
	run  func(*trial, context.Context) error
}

// checks are all there is to ask of a token, in the order of kube-apiserver.
var checks = []check{
	{"form", (*trial).checkForm},
	{"algorithm", (*trial).checkAlgorithm},
	{"issuer", (*trial).checkIssuer},
	{"signature", (*trial).checkSignature},
	{"expiry", (*trial).checkExpiry},
	{"audience", (*trial).checkAudience},
	{"not before", (*trial).checkNotBefore},
	{"username", (*trial).checkUsername},
	{"groups", (*trial).checkGroups},
	{"uid", (*trial).checkUID},
	{"extra", (*trial).checkExtra},
	{"required claims", (*trial).checkRequiredClaims},
	{"claim rules", (*trial).checkClaimRules},
	{"user rules", (*trial).checkUserRules},
}

var errSkipped = errors.New("authn: a check was asked without what it looks at")

// judge is the way of a token that is not remembered.
func (t *trial) judge(ctx context.Context) (Verified, error) {
	for _, check := range checks {
		if err := check.run(t, ctx); err != nil {
			return Verified{}, t.aloud(err)
		}
	}
	u := t.user // apart from the trial, which has the token
	return Verified{User: &u, Expires: t.id.Expiry, Issuer: t.issuer.spec.Issuer.URL}, nil
}

func (t *trial) checkForm(context.Context) error {
	if len(t.token) > MaxTokenBytes {
		return errTooLarge
	}
	parts, ok := split(t.token)
	if !ok {
		return refused(ReasonMalformed, "not three parts in base64url")
	}
	if len(parts.text) > maxJOSEHeaderBytes {
		return errHeaderTooLarge
	}
	t.parts = parts
	return nil
}

func (t *trial) checkAlgorithm(context.Context) error {
	p := &t.parts
	if p.payload == nil {
		return errSkipped
	}
	if p.header = t.conf.headers.get(p.text); p.header != nil {
		return nil
	}
	var err error
	p.header, err = readHeader(p.text, t.conf.algs)
	if wrong := new(jose.ErrUnexpectedSignatureAlgorithm); errors.As(err, &wrong) {
		if t.explaining {
			p.header, _ = readHeader(p.text, allSigningAlgs) // nil, again, if it is none of them
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
func (t *trial) checkIssuer(context.Context) error {
	if t.parts.payload == nil {
		return errSkipped
	}
	err := json.Unmarshal(t.parts.payload, &t.said)
	if err == nil {
		t.envelope, err = t.said.envelope(t.parts.payload)
	}
	if err != nil {
		return refused(ReasonMalformed, "the payload is not a JSON object of claims")
	}
	i, ok := t.conf.find(t.envelope.Issuer)
	if !ok {
		return refused(ReasonIssuer, "iss is no configured issuer")
	}
	t.issuer, t.ring = i, i.source.ring
	return nil
}

func (t *trial) checkSignature(ctx context.Context) error {
	if t.parts.header == nil || t.issuer == nil {
		return errSkipped
	}
	// The keys from before the verification: should they change meanwhile, what is remembered is void from the start.
	t.keys = t.ring.first(ctx)
	if len(t.keys.keys) == 0 {
		return ErrNotReady
	}
	if t.signed = t.ring.verify(ctx, &t.parts); !t.signed {
		return refused(ReasonSignature, "no key of the issuer verifies the signature")
	}
	if !t.explaining { // whose header may be of an algorithm that is not allowed
		t.conf.headers.put(t.parts.text, t.parts.header)
	}
	return nil
}

// VerifySignature makes a trial the [oidc.KeySet] of its token: go-oidc asks for the payload, once the signature is verified.
func (t *trial) VerifySignature(context.Context, string) ([]byte, error) {
	if !t.signed && !t.explaining {
		return nil, errors.New("the signature is not verified")
	}
	return t.parts.payload, nil
}

func (t *trial) checkExpiry(ctx context.Context) error {
	if t.parts.header == nil || t.issuer == nil {
		return errSkipped
	}
	// Of the text go-oidc looks at the algorithm alone, once more: payload and signature are the key set's, which is this trial.
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+t.parts.header.Header.Algorithm+`"}`)) + ".."
	id, err := oidc.NewVerifier(t.issuer.spec.Issuer.URL, t, t.conf.verifier).Verify(ctx, text)
	if err != nil && t.explaining {
		anyTime := *t.conf.verifier
		anyTime.SupportedSigningAlgs, anyTime.SkipExpiryCheck = signingAlgs, true
		id, _ = oidc.NewVerifier(t.issuer.spec.Issuer.URL, t, &anyTime).Verify(ctx, text)
	}
	if id != nil {
		t.id, t.claims = id, t.said
		if t.issuer.usesCEL() {
			t.values = t.claims.values()
		}
	}
	expired := new(oidc.TokenExpiredError)
	switch {
	case errors.As(err, &expired):
		return toldElse(ReasonExpired, "exp is past", "the token has expired: log in again")
	case err != nil && t.envelope.tooEarly(t.now):
		return t.checkNotBefore(ctx)
	case err != nil:
		return told(ReasonMalformed, "the claims are not those of an ID token")
	}
	return nil
}

func (t *trial) checkAudience(context.Context) error {
	switch {
	case t.id == nil:
		return errSkipped
	case !t.issuer.accepts(t.id.Audience):
		return refused(ReasonAudience, "aud contains none of the issuer's configured audiences")
	}
	return nil
}

func (t *trial) checkNotBefore(context.Context) error {
	switch {
	case t.issuer == nil:
		return errSkipped
	case t.envelope.tooEarly(t.now):
		return toldElse(ReasonNotYetValid, "nbf is in the future", "the token is not valid yet: try again later, or compare the issuer's clock with edge's")
	}
	return nil
}
