package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// A check is one test of a token, such as its signature or its audience. A check returns a
// [RefusedError] if it refuses the token. checkSignature may also return ErrNotReady. A check
// returns errSkipped if its input is missing, which happens only after another check has failed.
type check struct {
	name string
	run  func(*verification, context.Context) error
}

// checks are all checks of a token, in the order in which kube-apiserver makes them.
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

// verify runs all checks on a token that is not cached.
func (v *verification) verify(ctx context.Context) (Verified, error) {
	for _, check := range checks {
		if err := check.run(v, ctx); err != nil {
			return Verified{}, v.disclose(err)
		}
	}
	u := v.user // a pointer to v.user would keep all of v, and so the token, in memory
	return Verified{User: &u, Expires: v.idToken.Expiry, Issuer: v.issuer.spec.Issuer.URL, Place: v.rules.places[v.issuer]}, nil
}

func (v *verification) checkForm(context.Context) error {
	if len(v.token) > MaxTokenBytes {
		return errTooLarge
	}
	jws, ok := splitJWS(v.token)
	if !ok {
		return refused(ReasonMalformed, "not three parts in base64url")
	}
	if len(jws.encodedHeader) > maxJOSEHeaderBytes {
		return errHeaderTooLarge
	}
	v.jws = jws
	return nil
}

func (v *verification) checkAlgorithm(context.Context) error {
	j := &v.jws
	if j.payload == nil {
		return errSkipped
	}
	if j.header = v.rules.headers.get(j.encodedHeader); j.header != nil {
		return nil
	}
	var err error
	j.header, err = readHeader(j.encodedHeader, v.rules.algs)
	if wrong := new(jose.ErrUnexpectedSignatureAlgorithm); errors.As(err, &wrong) {
		if v.explaining {
			// For an algorithm that edge never allows, readHeader fails and j.header stays nil.
			j.header, _ = readHeader(j.encodedHeader, allSigningAlgs)
		}
		return refused(ReasonAlgorithm, "the signing algorithm is not allowed")
	}
	if err != nil {
		return refused(ReasonMalformed, "not a signed JWT")
	}
	return nil
}

// checkIssuer checks that a configured issuer made the token. It runs before any key is tried, so
// that a token of an unknown issuer does not cause a fetch of keys. checkIssuer reads the payload
// even if the header is unreadable.
func (v *verification) checkIssuer(context.Context) error {
	if v.jws.payload == nil {
		return errSkipped
	}
	err := json.Unmarshal(v.jws.payload, &v.payloadClaims)
	if err == nil {
		v.envelope, err = v.payloadClaims.envelope(v.jws.payload)
	}
	if err != nil {
		return refused(ReasonMalformed, "the payload is not a JSON object of claims")
	}
	i, ok := v.rules.find(v.envelope.Issuer)
	if !ok {
		return refused(ReasonIssuer, "iss is not a configured issuer")
	}
	v.issuer, v.ring = i, i.source.ring
	return nil
}

func (v *verification) checkSignature(ctx context.Context) error {
	if v.jws.header == nil || v.issuer == nil {
		return errSkipped
	}
	// Store the current keys before the verification. If they change in the meantime, the cached
	// result is invalid from the start.
	v.keys = v.ring.first(ctx)
	if len(v.keys.keys) == 0 {
		return ErrNotReady
	}
	if v.signed = v.ring.verify(ctx, &v.jws); !v.signed {
		return refused(ReasonSignature, "no key of the issuer verifies the signature")
	}
	if !v.explaining { // do not cache the header if Explain runs: its token may have an algorithm that is not allowed
		v.rules.headers.put(v.jws.encodedHeader, v.jws.header)
	}
	return nil
}

func (v *verification) checkExpiry(ctx context.Context) error {
	if v.jws.header == nil || v.issuer == nil {
		return errSkipped
	}
	// text has the algorithm of the token, but no payload and no signature: go-oidc only checks the
	// algorithm once more. go-oidc takes the payload and the result of the signature check from the
	// key set, which is v itself.
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+v.jws.header.Header.Algorithm+`"}`)) + ".."
	id, err := oidc.NewVerifier(v.issuer.spec.Issuer.URL, v, v.rules.verifier).Verify(ctx, text)
	if err != nil && v.explaining {
		anyTime := *v.rules.verifier
		anyTime.SupportedSigningAlgs, anyTime.SkipExpiryCheck = signingAlgs, true
		id, _ = oidc.NewVerifier(v.issuer.spec.Issuer.URL, v, &anyTime).Verify(ctx, text)
	}
	if id != nil {
		v.idToken, v.claims = id, v.payloadClaims
		if v.issuer.usesCEL() {
			v.celClaims = claimsValue(v.claims)
		}
	}
	expired := new(oidc.TokenExpiredError)
	switch {
	case errors.As(err, &expired):
		return refusedWithMessage(ReasonExpired, "exp is in the past or missing", "the token has expired: log in again")
	case err != nil && v.envelope.tooEarly(v.now):
		return v.checkNotBefore(ctx)
	case err != nil:
		return refusedOpenly(ReasonMalformed, "the claims are not those of an ID token")
	}
	return nil
}

func (v *verification) checkAudience(context.Context) error {
	switch {
	case v.idToken == nil:
		return errSkipped
	case !v.issuer.accepts(v.idToken.Audience):
		return refused(ReasonAudience, "aud contains none of the issuer's configured audiences")
	}
	return nil
}

func (v *verification) checkNotBefore(context.Context) error {
	switch {
	case v.issuer == nil:
		return errSkipped
	case v.envelope.tooEarly(v.now):
		return refusedWithMessage(ReasonNotYetValid, "nbf is in the future", "the token is not valid yet: try again later, or compare the issuer's clock with edge's")
	}
	return nil
}
