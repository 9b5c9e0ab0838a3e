package authn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "not.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Flags{IssuerURL: "https://issuer.example/realm", ClientID: "edge"}
	tests := []struct {
		name   string
		change func(*Flags)
		want   string // expected beginning of the error; empty: the flags are valid
	}{
		{"the least", func(*Flags) {}, ""},
		{"everything", func(c *Flags) {
			c.UsernameClaim, c.UsernamePrefix, c.GroupsClaim, c.GroupsPrefix = "email", "-", "roles", "oidc:"
			c.SigningAlgs, c.RequiredClaims = []string{"RS256", "PS512", "ES384"}, map[string]string{"hd": ""}
		}, ""},
		{"no issuer", func(c *Flags) { c.IssuerURL = "" }, "--oidc-issuer-url: is required"},
		{"http issuer", func(c *Flags) { c.IssuerURL = "http://issuer.example" }, `--oidc-issuer-url: must be an https URL, not "http://issuer.example"`},
		{"no scheme", func(c *Flags) { c.IssuerURL = "issuer.example" }, "--oidc-issuer-url: must be an https URL"},
		{"no host", func(c *Flags) { c.IssuerURL = "https:///realm" }, "--oidc-issuer-url: must be an https URL"},
		{"not a URL", func(c *Flags) { c.IssuerURL = "https://\x00" }, "--oidc-issuer-url: must be an https URL"},
		{"password", func(c *Flags) { c.IssuerURL = "https://u:secret@issuer.example" }, "--oidc-issuer-url: the URL must not contain a user name"},
		{"query", func(c *Flags) { c.IssuerURL = "https://issuer.example?a=b" }, "--oidc-issuer-url: the URL must not contain a query"},
		{"fragment", func(c *Flags) { c.IssuerURL = "https://issuer.example#a" }, "--oidc-issuer-url: the URL must not contain a fragment"},
		{"no client", func(c *Flags) { c.ClientID = "" }, "--oidc-client-id: is required"},
		{"CA file missing", func(c *Flags) { c.CAFile = filepath.Join(dir, "none.pem") }, "--oidc-ca-file: "},
		{"CA file is a folder", func(c *Flags) { c.CAFile = dir }, "--oidc-ca-file: "},
		{"CA file without a certificate", func(c *Flags) { c.CAFile = notPEM }, "--oidc-ca-file: no PEM certificate in"},
		{"HS256", func(c *Flags) { c.SigningAlgs = []string{"RS256", "HS256"} }, `--oidc-signing-algs: "HS256" is not one of RS256, `},
		{"none", func(c *Flags) { c.SigningAlgs = []string{"none"} }, `--oidc-signing-algs: "none" is not one of`},
		{"required claim without a name", func(c *Flags) { c.RequiredClaims = map[string]string{"": "x"} }, "--oidc-required-claim: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			_, err := New(Options{Flags: cfg})
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
