package authn

import (
	"context"
	"reflect"
	"testing"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"edge/internal/testkit"
)

// apiServer returns kube-apiserver's own authenticator for one issuer, or the error with which it
// refuses the configuration.
func apiServer(t testing.TB, i *testIssuer, spec apiserver.JWTAuthenticator, algs []string) (authenticator.Token, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	a, err := oidc.New(ctx, oidc.Options{JWTAuthenticator: spec, SupportedSigningAlgs: algs, Client: i.Client(), Compiler: compiler()})
	if err != nil {
		return nil, err
	}
	testkit.WaitFor(t, "kube-apiserver's authenticator", func() bool { return a.HealthCheck() == nil })
	return a, nil
}

// fromFlags returns the configuration entry that kube-apiserver makes from its --oidc-* flags.
func fromFlags(f Flags) apiserver.JWTAuthenticator {
	prefix := f.UsernamePrefix
	if prefix == "" && f.UsernameClaim != "email" {
		prefix = f.IssuerURL + "#"
	}
	if f.UsernamePrefix == "-" {
		prefix = ""
	}
	claim := f.UsernameClaim
	if claim == "" {
		claim = "sub" // the default of --oidc-username-claim
	}
	spec := apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: f.IssuerURL, Audiences: []string{f.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Claim: claim, Prefix: &prefix}},
	}
	if f.GroupsClaim != "" {
		spec.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: f.GroupsClaim, Prefix: &f.GroupsPrefix}
	}
	for name, value := range f.RequiredClaims {
		spec.ClaimValidationRules = append(spec.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: name, RequiredValue: value})
	}
	return spec
}

// firstOf combines kube-apiserver's authenticators of several issuers as kube-apiserver does: the
// first authenticator that accepts the token counts.
type firstOf []authenticator.Token

func (u firstOf) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	var last error
	for _, a := range u {
		resp, ok, err := a.AuthenticateToken(ctx, token)
		if ok && err == nil {
			return resp, true, nil
		}
		if err != nil {
			last = err
		}
	}
	return nil, false, last
}

// outcome is the part of a token's verification in which edge and kube-apiserver must agree: the
// user, or that the token is refused.
type outcome struct {
	accepted bool
	name     string
	uid      string
	groups   []string
	extra    map[string][]string
}

func outcomeOf(u user.Info, accepted bool) outcome {
	if !accepted {
		return outcome{}
	}
	o := outcome{true, u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()}
	if len(o.groups) == 0 {
		o.groups = nil
	}
	if len(o.extra) == 0 {
		o.extra = nil
	}
	return o
}

// compare verifies one token with edge, with kube-apiserver's authenticator (the oracle) and with
// Explain, and fails the test if they disagree.
func compare(t *testing.T, a *Authenticator, oracle authenticator.Token, token string) (Verified, error) {
	t.Helper()
	v, err := a.Authenticate(context.Background(), token)
	ours := outcomeOf(v.User, err == nil)
	resp, ok, oracleErr := oracle.AuthenticateToken(context.Background(), token)
	theirs := outcome{}
	if ok && oracleErr == nil {
		theirs = outcomeOf(resp.User, true)
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("token %s\n we say             %+v (%v)\n kube-apiserver says %+v (%v)", token, ours, err, theirs, oracleErr)
	}
	sameExplanation(t, a, token, v, err)
	return v, err
}

// sameExplanation checks that Explain reports the same user or refusal as Authenticate returned.
func sameExplanation(t *testing.T, a *Authenticator, token string, v Verified, err error) {
	t.Helper()
	e := a.Explain(context.Background(), token, ExplainOptions{})
	if wrong, ok := err.(*RefusedError); ok {
		if e.Outcome != OutcomeRefused || e.Reason != wrong.Reason {
			t.Errorf("token %s\n is refused with %v\n and explained as %+v", token, err, e)
		}
		return
	}
	if err != nil || e.Outcome != OutcomeOK || e.Issuer != v.Issuer || !e.Expires.Equal(v.Expires) || !reflect.DeepEqual(e.User, v.User) {
		t.Errorf("token %s\n makes %+v (%v)\n and is explained as %+v", token, v, err, e)
	}
}
