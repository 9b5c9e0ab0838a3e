package authn

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// The defaults of the flags are the same as kube-apiserver's.
const (
	defaultUsernameClaim = "sub"
	defaultSigningAlg    = oidc.RS256
)

// Flags describe one issuer, as kube-apiserver's --oidc-* flags do. If all fields are empty or have
// their default values, no issuer is configured.
type Flags struct {
	// IssuerURL is the https URL of the issuer. A token's iss must be equal to it, byte by byte.
	IssuerURL string
	// ClientID must be in a token's aud.
	ClientID string
	// CAFile is a PEM file of root certificates that must have signed the issuer's certificate.
	// edge reads it again at each fetch. Empty: the system's root certificates.
	CAFile string

	// UsernameClaim is the claim that contains the user's name. Empty: sub. If it is email and the
	// token has email_verified, email_verified must be true.
	UsernameClaim string
	// UsernamePrefix is put before each user name. Empty: the issuer's URL and "#", or nothing if
	// UsernameClaim is email. "-": nothing.
	UsernamePrefix string
	// GroupsClaim is the claim that contains the groups, as a string or a list of strings. Empty:
	// users have no groups.
	GroupsClaim string
	// GroupsPrefix is put before each group. Empty: nothing.
	GroupsPrefix string

	// SigningAlgs are the JWS algorithms that edge accepts. Empty: RS256.
	SigningAlgs []string
	// RequiredClaims must all be in a token, as strings with exactly these values. Empty: no claim
	// is required.
	RequiredClaims map[string]string
}

// given returns the name of the first flag that differs from its default. If ok is false, no flag
// differs, and so the flags configure no issuer.
func (f Flags) given() (flag string, ok bool) {
	algs := f.SigningAlgs
	for _, one := range []struct {
		flag string
		set  bool
	}{
		{"--oidc-issuer-url", f.IssuerURL != ""},
		{"--oidc-client-id", f.ClientID != ""},
		{"--oidc-ca-file", f.CAFile != ""},
		{"--oidc-username-claim", f.UsernameClaim != "" && f.UsernameClaim != defaultUsernameClaim},
		{"--oidc-username-prefix", f.UsernamePrefix != ""},
		{"--oidc-groups-claim", f.GroupsClaim != ""},
		{"--oidc-groups-prefix", f.GroupsPrefix != ""},
		{"--oidc-signing-algs", len(algs) > 0 && !slices.Equal(algs, []string{defaultSigningAlg})},
		{"--oidc-required-claim", len(f.RequiredClaims) > 0},
	} {
		if one.set {
			return one.flag, true
		}
	}
	return "", false
}

// validate returns the first error in the flags. The error begins with the name of the flag.
func (f Flags) validate() error {
	if err := validIssuerURL(f.IssuerURL); err != nil {
		return fmt.Errorf("--oidc-issuer-url: %w", err)
	}
	if f.ClientID == "" {
		return errors.New("--oidc-client-id: is required: the audience that tokens must be issued for")
	}
	for _, alg := range f.SigningAlgs {
		if !slices.Contains(signingAlgs, alg) {
			return fmt.Errorf("--oidc-signing-algs: %q is not one of %s", alg, strings.Join(signingAlgs, ", "))
		}
	}
	if _, ok := f.RequiredClaims[""]; ok {
		return errors.New("--oidc-required-claim: the name of the claim is empty; write claim=value")
	}
	return nil
}

// validIssuerURL checks the issuer's URL as kube-apiserver does, and also that the URL has a host.
func validIssuerURL(issuer string) error {
	if issuer == "" {
		return errors.New("is required: the https URL of the OpenID Connect issuer")
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("must be an https URL: %s", userInfo.ReplaceAllString(err.Error(), "//REDACTED@"))
	}
	switch {
	case u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("must be an https URL, not %q", u.Redacted())
	case u.User != nil:
		return errors.New("the URL must not contain a user name or password")
	case u.RawQuery != "":
		return fmt.Errorf("the URL must not contain a query: %q", issuer)
	case u.Fragment != "":
		return fmt.Errorf("the URL must not contain a fragment: %q", issuer)
	}
	return nil
}

// config converts the flags to an AuthenticationConfiguration, in the same way as kube-apiserver.
func (f Flags) config() (*authenticationConfig, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	claim := f.UsernameClaim
	if claim == "" {
		claim = defaultUsernameClaim
	}
	prefix := f.UsernamePrefix
	switch {
	case prefix == "-":
		prefix = ""
	case prefix == "" && claim != "email":
		prefix = f.IssuerURL + "#"
	}
	jwt := apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: f.IssuerURL, Audiences: []string{f.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Claim: claim, Prefix: &prefix}},
	}
	if f.CAFile != "" {
		pem, err := readCAFile(f.CAFile)
		if err != nil {
			return nil, err
		}
		jwt.Issuer.CertificateAuthority = string(pem)
	}
	if f.GroupsClaim != "" {
		jwt.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: f.GroupsClaim, Prefix: &f.GroupsPrefix}
	}
	for _, name := range slices.Sorted(maps.Keys(f.RequiredClaims)) {
		jwt.ClaimValidationRules = append(jwt.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: name, RequiredValue: f.RequiredClaims[name]})
	}
	algs := f.SigningAlgs
	if len(algs) == 0 {
		algs = []string{defaultSigningAlg}
	}
	return &authenticationConfig{
		api:    &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{jwt}},
		algs:   algs,
		caFile: f.CAFile,
	}, nil
}
