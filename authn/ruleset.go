package authn

import (
	"reflect"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// ruleSet says whose credentials are good, and who is whom: a valid configuration, compiled. Nothing of it ever changes
// but headers; a change of the configuration makes another, which shares with it what did not change.
type ruleSet struct {
	issuers   map[string]*issuer // by URL
	algs      []jose.SignatureAlgorithm
	verifier  *oidc.Config
	anonymous *apiserver.AnonymousAuthConfig
	headers   *headerCache // all of algorithms in algs
}

// compileRules checks the whole configuration and compiles it. Issuers that before has just like this are taken from
// there, with all that is remembered of them; those whose keys come from the same place keep their keys.
func compileRules(config *authenticationConfig, before *ruleSet, now func() time.Time) (*ruleSet, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	s := &ruleSet{
		issuers:   make(map[string]*issuer, len(config.api.JWT)),
		algs:      joseAlgs(config.algs),
		anonymous: config.api.Anonymous,
		headers:   new(headerCache),
		verifier: &oidc.Config{
			SupportedSigningAlgs: config.algs,
			SkipClientIDCheck:    true, // checked here: there may be many, and the refusal can be told from others
			Now:                  now,
		},
	}
	for _, spec := range config.api.JWT {
		old := before.issuers[spec.Issuer.URL]
		if old != nil && reflect.DeepEqual(old.spec, spec) {
			s.issuers[spec.Issuer.URL] = old
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
		s.issuers[spec.Issuer.URL] = i
	}
	return s, nil
}

// find returns the issuer of a token by its iss, which is compared byte by byte, but for the spelling that Google is known
// for and that kube-apiserver and go-oidc let pass, too.
func (s *ruleSet) find(iss string) (*issuer, bool) {
	if iss == "accounts.google.com" {
		iss = "https://accounts.google.com"
	}
	i, ok := s.issuers[iss]
	return i, ok
}

// has reports whether an issuer is configured just like this.
func (s *ruleSet) has(i *issuer) bool { return s.issuers[i.spec.Issuer.URL] == i }

// uses reports whether an issuer's keys still come from here.
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
