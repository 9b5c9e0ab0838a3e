package authn

import (
	"reflect"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// configuration is a valid document, ready for use. Nothing of it ever changes but headers; a change of the document makes
// another, which shares with it what did not change.
type ruleSet struct {
	issuers   map[string]*issuer // by URL
	algs      []jose.SignatureAlgorithm
	verifier  *oidc.Config
	anonymous *apiserver.AnonymousAuthConfig
	headers   *headerCache // all of algorithms in algs
}

// compile checks the whole document and makes it ready. Issuers that before has just like this are taken from there, with
// all that is remembered of them; those whose keys come from the same place keep their keys.
func compileRules(doc *authenticationConfig, before *ruleSet, now func() time.Time) (*ruleSet, error) {
	if err := doc.validate(); err != nil {
		return nil, err
	}
	c := &ruleSet{
		issuers:   make(map[string]*issuer, len(doc.api.JWT)),
		algs:      joseAlgs(doc.algs),
		anonymous: doc.api.Anonymous,
		headers:   new(headerCache),
		verifier: &oidc.Config{
			SupportedSigningAlgs: doc.algs,
			SkipClientIDCheck:    true, // checked here: there may be many, and the refusal can be told from others
			Now:                  now,
		},
	}
	for _, spec := range doc.api.JWT {
		old := before.issuers[spec.Issuer.URL]
		if old != nil && reflect.DeepEqual(old.spec, spec) {
			c.issuers[spec.Issuer.URL] = old
			continue
		}
		i, err := newIssuer(spec)
		if err != nil {
			return nil, err
		}
		from := keyOrigin{spec.Issuer.URL, spec.Issuer.DiscoveryURL, spec.Issuer.CertificateAuthority, doc.caFile}
		if old != nil && old.source.keyOrigin == from {
			i.source = old.source
		} else {
			i.source = newKeySource(from, now)
		}
		c.issuers[spec.Issuer.URL] = i
	}
	return c, nil
}

// find returns the issuer of a token by its iss, which is compared byte by byte, but for the spelling that Google is known
// for and that kube-apiserver and go-oidc let pass, too.
func (c *ruleSet) find(iss string) (*issuer, bool) {
	if iss == "accounts.google.com" {
		iss = "https://accounts.google.com"
	}
	i, ok := c.issuers[iss]
	return i, ok
}

// has reports whether an issuer is still configured just like this.
func (c *ruleSet) has(i *issuer) bool { return c.issuers[i.spec.Issuer.URL] == i }

// uses reports whether an issuer's keys still come from here.
func (c *ruleSet) uses(s *keySource) bool {
	i, ok := c.issuers[s.issuer]
	return ok && i.source == s
}

func (c *ruleSet) allowsAnonymous(path string) bool {
	if c.anonymous == nil || !c.anonymous.Enabled {
		return false
	}
	for _, condition := range c.anonymous.Conditions {
		if condition.Path == path {
			return true
		}
	}
	return len(c.anonymous.Conditions) == 0
}
