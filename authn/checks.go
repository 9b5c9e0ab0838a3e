package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
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

	jws      *jose.JSONWebSignature
	envelope envelope
	issuer   *issuer
	ring     *keyRing // where the issuer's keys are
	keys     *keySet  // those that were in hand first
	signed   bool     // one of them, or a newer one, verified the signature
	id       *oidc.IDToken
	claims   claims
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
			return Verified{}, err
		}
	}
	u := t.user // apart from the trial, which has the token
	return Verified{User: &u, Expires: t.id.Expiry, Issuer: t.issuer.spec.Issuer.URL}, nil
}

func (t *trial) checkForm(context.Context) error {
	switch {
	case len(t.token) > MaxTokenBytes:
		return errTooLarge
	case !isCompact(t.token):
		return refused(ReasonMalformed, "not three parts in base64url")
	}
	return nil
}

func (t *trial) checkAlgorithm(ctx context.Context) error {
	if t.explaining && t.checkForm(ctx) != nil {
		return errSkipped
	}
	var err error
	t.jws, err = jose.ParseSignedCompact(t.token, t.conf.algs)
	if wrong := new(jose.ErrUnexpectedSignatureAlgorithm); errors.As(err, &wrong) {
		if t.explaining {
			t.jws, _ = jose.ParseSignedCompact(t.token, allSigningAlgs) // nil, again, if it is none of them
		}
		return refused(ReasonAlgorithm, "signed with another algorithm than is allowed")
	}
	if err != nil {
		return refused(ReasonMalformed, "not a signed JWT")
	}
	return nil
}

// checkIssuer comes before any key is tried: another issuer's token is no reason to fetch keys.
func (t *trial) checkIssuer(context.Context) error {
	payload, ok := t.payload()
	if !ok {
		return errSkipped
	}
	if json.Unmarshal(payload, &t.envelope) != nil {
		return refused(ReasonMalformed, "the payload is not a JSON object of claims")
	}
	i, ok := t.conf.find(t.envelope.Issuer)
	if !ok {
		return refused(ReasonIssuer, "iss is no configured issuer")
	}
	t.issuer, t.ring = i, i.source.ring
	return nil
}

// payload is not verified. It can be there without a header that one can read.
func (t *trial) payload() ([]byte, bool) {
	if t.jws != nil {
		return t.jws.UnsafePayloadWithoutVerification(), true
	}
	if t.checkForm(context.Background()) != nil {
		return nil, false
	}
	_, rest, _ := strings.Cut(t.token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(middle)
	return payload, err == nil
}

func (t *trial) checkSignature(ctx context.Context) error {
	if t.jws == nil || t.issuer == nil {
		return errSkipped
	}
	// The keys from before the verification: should they change meanwhile, what is remembered is void from the start.
	t.keys = t.ring.first(ctx)
	if len(t.keys.keys) == 0 {
		return ErrNotReady
	}
	if t.signed = t.ring.verify(ctx, t.jws); !t.signed {
		return refused(ReasonSignature, "no key of the issuer verifies the signature")
	}
	return nil
}

// VerifySignature makes a trial the [oidc.KeySet] of its token: go-oidc asks for the payload, once the signature is verified.
func (t *trial) VerifySignature(context.Context, string) ([]byte, error) {
	if !t.signed && !t.explaining {
		return nil, errors.New("the signature is not verified")
	}
	return t.jws.UnsafePayloadWithoutVerification(), nil
}

func (t *trial) checkExpiry(ctx context.Context) error {
	if t.jws == nil || t.issuer == nil {
		return errSkipped
	}
	// Of the text go-oidc reads the header alone, once more: payload and signature are the key set's, which is this trial.
	header, _, _ := strings.Cut(t.token, ".")
	verifier := oidc.NewVerifier(t.issuer.spec.Issuer.URL, t, t.conf.verifier)
	id, err := verifier.Verify(ctx, header+"..")
	if err != nil && t.explaining {
		anyTime := *t.conf.verifier
		anyTime.SupportedSigningAlgs, anyTime.SkipExpiryCheck = signingAlgs, true
		id, _ = oidc.NewVerifier(t.issuer.spec.Issuer.URL, t, &anyTime).Verify(ctx, header+"..")
	}
	if id != nil {
		if id.Claims(&t.claims) != nil {
			return refused(ReasonMalformed, "the payload is not a JSON object of claims")
		}
		t.id = id
		if t.issuer.usesCEL() {
			t.values = t.claims.values()
		}
	}
	expired := new(oidc.TokenExpiredError)
	switch {
	case errors.As(err, &expired):
		return refused(ReasonExpired, "exp is past")
	case err != nil && t.envelope.tooEarly(t.now):
		return t.checkNotBefore(ctx)
	case err != nil:
		return refused(ReasonMalformed, "the claims are not those of an ID token")
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
		return refused(ReasonNotYetValid, "nbf is in the future")
	}
	return nil
}

// isCompact reports whether a token has the shape of RFC 7515 section 7.1: three parts, and nothing that is not base64url.
// Libraries are more lenient with white space; one spelling is enough.
func isCompact(token string) bool {
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			dots++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return dots == 2
}
