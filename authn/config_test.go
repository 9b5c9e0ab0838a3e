package authn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "not.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Config{IssuerURL: "https://issuer.example/realm", ClientID: "edge"}
	tests := []struct {
		name   string
		change func(*Config)
		want   string // how the error begins; empty: valid
	}{
		{"the least", func(*Config) {}, ""},
		{"everything", func(c *Config) {
			c.UsernameClaim, c.UsernamePrefix, c.GroupsClaim, c.GroupsPrefix = "email", "-", "roles", "oidc:"
			c.SigningAlgs, c.RequiredClaims = []string{"RS256", "PS512", "ES384"}, map[string]string{"hd": ""}
		}, ""},
		{"no issuer", func(c *Config) { c.IssuerURL = "" }, "--oidc-issuer-url: is required"},
		{"http issuer", func(c *Config) { c.IssuerURL = "http://issuer.example" }, `--oidc-issuer-url: must be an https URL, not "http://issuer.example"`},
		{"no scheme", func(c *Config) { c.IssuerURL = "issuer.example" }, "--oidc-issuer-url: must be an https URL"},
		{"no host", func(c *Config) { c.IssuerURL = "https:///realm" }, "--oidc-issuer-url: must be an https URL"},
		{"not a URL", func(c *Config) { c.IssuerURL = "https://\x00" }, "--oidc-issuer-url: must be an https URL"},
		{"password", func(c *Config) { c.IssuerURL = "https://u:secret@issuer.example" }, "--oidc-issuer-url: must not contain a user name"},
		{"query", func(c *Config) { c.IssuerURL = "https://issuer.example?a=b" }, "--oidc-issuer-url: must not contain a query"},
		{"fragment", func(c *Config) { c.IssuerURL = "https://issuer.example#a" }, "--oidc-issuer-url: must not contain a fragment"},
		{"no client", func(c *Config) { c.ClientID = "" }, "--oidc-client-id: is required"},
		{"CA file missing", func(c *Config) { c.CAFile = filepath.Join(dir, "none.pem") }, "--oidc-ca-file: "},
		{"CA file is a folder", func(c *Config) { c.CAFile = dir }, "--oidc-ca-file: "},
		{"CA file without a certificate", func(c *Config) { c.CAFile = notPEM }, "--oidc-ca-file: no PEM certificate in"},
		{"HS256", func(c *Config) { c.SigningAlgs = []string{"RS256", "HS256"} }, `--oidc-signing-algs: "HS256" is not one of RS256, `},
		{"none", func(c *Config) { c.SigningAlgs = []string{"none"} }, `--oidc-signing-algs: "none" is not one of`},
		{"required claim without a name", func(c *Config) { c.RequiredClaims = map[string]string{"": "x"} }, "--oidc-required-claim: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			err := cfg.Validate()
			if _, newErr := New(cfg); (newErr == nil) != (err == nil) {
				t.Errorf("Validate says %v, New %v", err, newErr)
			}
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v, want %s...", err, test.want)
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "secret") {
				t.Errorf("not one clean line: %q", text)
			}
		})
	}
}
