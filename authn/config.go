package authn

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// signingAlgs are the algorithms that --oidc-signing-algs may name: kube-apiserver's list, all of them asymmetric.
var signingAlgs = []string{
	oidc.RS256, oidc.RS384, oidc.RS512,
	oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512,
}

// maxCAFileBytes bounds what is read of the CA file: a distribution's whole bundle is about 250 KiB.
const maxCAFileBytes = 4 << 20

// Config says whose tokens are accepted and what a user is called. Its fields are kube-apiserver's --oidc-* flags.
type Config struct {
	// IssuerURL is the issuer: an https URL, compared with a token's iss byte by byte. Required.
	IssuerURL string
	// ClientID must be in a token's aud. Required.
	ClientID string
	// CAFile is a PEM file with the roots that the issuer's certificate is checked against; it is read again at each
	// fetch. Empty: the system's roots.
	CAFile string

	// UsernameClaim is the claim that holds the user's name. Empty: sub. For email, an email_verified that is there must
	// be true.
	UsernameClaim string
	// UsernamePrefix stands before each name. Empty: the issuer's URL and "#", or nothing where UsernameClaim is email.
	// "-": nothing.
	UsernamePrefix string
	// GroupsClaim is the claim, a string or a list of strings, that holds the groups. Empty: users have no groups.
	GroupsClaim string
	// GroupsPrefix stands before each group. Empty: nothing.
	GroupsPrefix string

	// SigningAlgs are the JWS algorithms that are accepted. Empty: RS256.
	SigningAlgs []string
	// RequiredClaims must all be in a token, as strings with exactly these values. Empty: none.
	RequiredClaims map[string]string

	// Now is the clock that exp and nbf are compared with, and that key fetches are paced by. Nil: time.Now.
	Now func() time.Time
	// Log gets one line whenever the issuer's keys come into hand, and whenever fetching begins to fail. Nil: none.
	Log *slog.Logger
}

// Validate returns the first thing that is wrong, with the name of its flag in front. It reads CAFile.
func (c Config) Validate() error {
	if err := validIssuerURL(c.IssuerURL); err != nil {
		return fmt.Errorf("--oidc-issuer-url: %w", err)
	}
	if c.ClientID == "" {
		return errors.New("--oidc-client-id: is required: the audience that tokens must be issued for")
	}
	if c.CAFile != "" {
		if _, err := readCAFile(c.CAFile); err != nil {
			return err
		}
	}
	for _, alg := range c.SigningAlgs {
		if !slices.Contains(signingAlgs, alg) {
			return fmt.Errorf("--oidc-signing-algs: %q is not one of %s", alg, strings.Join(signingAlgs, ", "))
		}
	}
	if _, ok := c.RequiredClaims[""]; ok {
		return errors.New("--oidc-required-claim: a claim without a name; write claim=value")
	}
	return nil
}

// validIssuerURL asks what kube-apiserver asks, and a host.
func validIssuerURL(issuer string) error {
	if issuer == "" {
		return errors.New("is required: the https URL of the OpenID Connect issuer")
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("must be an https URL: %w", err)
	}
	switch {
	case u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("must be an https URL, not %q", u.Redacted())
	case u.User != nil:
		return errors.New("must not contain a user name or password")
	case u.RawQuery != "":
		return fmt.Errorf("must not contain a query: %q", issuer)
	case u.Fragment != "":
		return fmt.Errorf("must not contain a fragment: %q", issuer)
	}
	return nil
}

// readCAFile returns the file's content, in which there is at least one certificate.
func readCAFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("--oidc-ca-file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxCAFileBytes {
		return nil, fmt.Errorf("--oidc-ca-file: %s is not a file of at most %d bytes", name, maxCAFileBytes)
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--oidc-ca-file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--oidc-ca-file: no PEM certificate in %s", name)
	}
	return pem, nil
}

// withDefaults resolves what an empty field means. The result's UsernamePrefix is what really stands before a name.
func (c Config) withDefaults() Config {
	if c.UsernameClaim == "" {
		c.UsernameClaim = "sub"
	}
	switch {
	case c.UsernamePrefix == "-":
		c.UsernamePrefix = ""
	case c.UsernamePrefix == "" && c.UsernameClaim != "email":
		c.UsernamePrefix = c.IssuerURL + "#"
	}
	if len(c.SigningAlgs) == 0 {
		c.SigningAlgs = []string{oidc.RS256}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) joseAlgs() []jose.SignatureAlgorithm {
	algs := make([]jose.SignatureAlgorithm, len(c.SigningAlgs))
	for i, alg := range c.SigningAlgs {
		algs[i] = jose.SignatureAlgorithm(alg)
	}
	return algs
}
