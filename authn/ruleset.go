package authn

import (
	"reflect"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// ruleSet is a valid authentication configuration, compiled: it decides which tokens are accepted
// and what users they make. Only the header cache of a ruleSet ever changes. A changed
// configuration makes a new ruleSet, which shares the unchanged issuers.
type ruleSet struct {
	issuers   map[string]*issuer // key: the issuer's URL
	places    map[*issuer]int    // the issuers' places in the configuration, from 1
	algs      []jose.SignatureAlgorithm
	verifier  *oidc.Config
	anonymous *apiserver.AnonymousAuthConfig
	headers   *headerCache // decoded token headers whose signing algorithms are all in the field algs
}

// compileRules validates the whole configuration and compiles it into a ruleSet. It takes unchanged
// issuers from the parameter before (the ruleSet that is in use), and so keeps their cached tokens.
// An issuer whose rules changed keeps its keys if they come from the same place (discovery URL,
// CA). Otherwise the issuer starts without keys, and requests with its tokens wait for the first
// fetch.
func compileRules(config *authenticationConfig, before *ruleSet, now func() time.Time) (*ruleSet, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	s := &ruleSet{
		issuers:   make(map[string]*issuer, len(config.api.JWT)),
		places:    make(map[*issuer]int, len(config.api.JWT)),
		algs:      joseAlgs(config.algs),
		anonymous: config.api.Anonymous,
		headers:   new(headerCache),
		verifier: &oidc.Config{
			SupportedSigningAlgs: config.algs,
			SkipClientIDCheck:    true, // go-oidc must not check aud: checkAudience does, because an issuer may have many audiences
			Now:                  now,
		},
	}
	for n, spec := range config.api.JWT {
		old := before.issuers[spec.Issuer.URL]
		if old != nil && reflect.DeepEqual(old.spec, spec) {
			s.issuers[spec.Issuer.URL], s.places[old] = old, n+1
			continue
		}
		i, err := newIssuer(spec)
		if err != nil {
			return nil, err
		}
		from := keyOrigin{spec.Issuer.URL, spec.Issuer.DiscoveryURL, spec.Issuer.CertificateAuthority, config.caFile}
		if old != nil && old.source.keyOrigin == from {
			i.source = old.source
		} else {
			i.source = newKeySource(from, now)
		}
		s.issuers[spec.Issuer.URL], s.places[i] = i, n+1
	}
	return s, nil
}

// find returns the issuer of a token by its iss. It compares iss byte by byte. The only exception
// is Google's short name accounts.google.com, which kube-apiserver and go-oidc accept too.
func (s *ruleSet) find(iss string) (*issuer, bool) {
	if iss == "accounts.google.com" {
		iss = "https://accounts.google.com"
	}
	i, ok := s.issuers[iss]
	return i, ok
}

// has reports whether the rule set contains the issuer i, unchanged.
func (s *ruleSet) has(i *issuer) bool { return s.issuers[i.spec.Issuer.URL] == i }

// uses reports whether any issuer of the rule set takes its keys from k.
func (s *ruleSet) uses(k *keySource) bool {
	i, ok := s.issuers[k.issuer]
	return ok && i.source == k
}

func (s *ruleSet) allowsAnonymous(path string) bool {
	if s.anonymous == nil || !s.anonymous.Enabled {
		return false
	}
	for _, condition := range s.anonymous.Conditions {
		if condition.Path == path {
			return true
		}
	}
	return len(s.anonymous.Conditions) == 0
}
