package authn

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/authentication/user"
)

// MaxTokenBytes is the longest token that is looked at: what a load balancer lets pass in all headers together.
const MaxTokenBytes = 64 << 10

var errTooLarge = refused(ReasonTooLarge, fmt.Sprintf("the token is longer than %d bytes", MaxTokenBytes))

// Verified is what a good token says. User is shared by all requests with that token: read it only.
type Verified struct {
	User    user.Info
	Expires time.Time // the token is good up to and at this time
}

// Authenticator verifies the tokens of one issuer. It may be used by many goroutines. Without [Authenticator.Run] it has no
// keys.
type Authenticator struct {
	cfg      Config // with its defaults resolved
	algs     []jose.SignatureAlgorithm
	verifier *oidc.Config
	keys     *keyRing
	known    memory
	pace     pace

	mu       sync.Mutex
	fetchErr error // of the newest fetch
}

// New returns an Authenticator for a valid configuration. It fetches nothing yet.
func New(cfg Config) (*Authenticator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Authenticator{
		cfg:  cfg,
		algs: cfg.joseAlgs(),
		verifier: &oidc.Config{
			SupportedSigningAlgs: cfg.SigningAlgs,
			SkipClientIDCheck:    true, // checked here, where the refusal can be told from others
			Now:                  cfg.Now,
		},
		keys: newKeyRing(cfg.Now),
		pace: defaultPace,
	}, nil
}

// Authenticate returns the user of a token. The error is [ErrNotReady] or a [RefusedError]; with any error there is no user.
// It may wait for new keys, as long as one fetch takes or until ctx ends.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Verified, error) {
	if len(token) > MaxTokenBytes {
		return Verified{}, errTooLarge
	}
	keys := a.keys.current.Load()
	if len(keys.keys) == 0 {
		return Verified{}, ErrNotReady
	}
	// The generation from before the verification: should the keys change meanwhile, the memo is void from the start.
	id := sha256.Sum256([]byte(token))
	if v, ok := a.known.get(id, keys.generation, a.cfg.Now()); ok {
		return v, nil
	}
	v, err := a.verify(ctx, token)
	if err == nil && len(token) <= maxRememberedBytes {
		a.known.put(id, keys.generation, v)
	}
	return v, err
}

// verify does all that has to be done for a token that is not known.
func (a *Authenticator) verify(ctx context.Context, token string) (Verified, error) {
	if !isCompact(token) {
		return Verified{}, refused(ReasonMalformed, "not three parts in base64url")
	}
	jws, err := jose.ParseSignedCompact(token, a.algs)
	if wrong := new(jose.ErrUnexpectedSignatureAlgorithm); errors.As(err, &wrong) {
		return Verified{}, refused(ReasonAlgorithm, "signed with another algorithm than --oidc-signing-algs allows")
	}
	if err != nil {
		return Verified{}, refused(ReasonMalformed, "not a signed JWT")
	}
	// Whose token it is comes first: another issuer's is no reason to fetch keys.
	var env envelope
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &env) != nil {
		return Verified{}, refused(ReasonMalformed, "the payload is not a JSON object of claims")
	}
	if !sameIssuer(a.cfg.IssuerURL, env.Issuer) {
		return Verified{}, refused(ReasonIssuer, "iss is not --oidc-issuer-url")
	}

	signature := &signature{token: jws, keys: a.keys}
	idToken, err := oidc.NewVerifier(a.cfg.IssuerURL, signature, a.verifier).Verify(ctx, token)
	expired := new(oidc.TokenExpiredError)
	switch {
	case errors.As(err, &expired):
		return Verified{}, refused(ReasonExpired, "exp is past")
	case err != nil && !signature.good:
		return Verified{}, refused(ReasonSignature, "no key of the issuer verifies the signature")
	case err != nil:
		return Verified{}, refused(ReasonMalformed, "the claims are not those of an ID token")
	case !slices.Contains(idToken.Audience, a.cfg.ClientID):
		return Verified{}, refused(ReasonAudience, "aud does not contain --oidc-client-id")
	case env.tooEarly(a.cfg.Now()):
		return Verified{}, refused(ReasonNotYetValid, "nbf is in the future")
	}

	var c claims
	if idToken.Claims(&c) != nil {
		return Verified{}, refused(ReasonMalformed, "the payload is not a JSON object of claims")
	}
	u, err := c.user(&a.cfg)
	if err != nil {
		return Verified{}, err
	}
	return Verified{User: u, Expires: idToken.Expiry}, nil
}

// signature is the [oidc.KeySet] of one token, which is parsed already.
type signature struct {
	token *jose.JSONWebSignature
	keys  *keyRing
	good  bool
}

// VerifySignature is called by go-oidc with the text that token was parsed from.
func (s *signature) VerifySignature(ctx context.Context, _ string) ([]byte, error) {
	payload, ok := s.keys.verify(ctx, s.token)
	if !ok {
		return nil, errors.New("no key of the issuer verifies the signature")
	}
	s.good = true
	return payload, nil
}

// sameIssuer compares byte by byte, but for the spelling that Google is known for and that go-oidc lets pass, too.
func sameIssuer(ours, iss string) bool {
	return iss == ours || ours == "https://accounts.google.com" && iss == "accounts.google.com"
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
