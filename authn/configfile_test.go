package authn

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
)

// fileWith returns an authentication configuration file with one issuer, followed by the YAML in
// the parameter more.
func fileWith(url, more string) string {
	return fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: %q, audiences: [edge]}
  claimMappings: {username: {claim: sub, prefix: ""}}
%s`, url, more)
}

func TestFile(t *testing.T) {
	good := fileWith("https://issuer.example", "")
	tests := []struct {
		name, text string
		want       []string // texts that the error must contain; empty: the file is valid
	}{
		{"v1", good, nil},
		{"v1beta1", strings.Replace(good, "/v1", "/v1beta1", 1), nil},
		{"v1alpha1", strings.Replace(good, "config.k8s.io/v1", "config.k8s.io/v1alpha1", 1), nil},
		{"JSON", `{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AuthenticationConfiguration"}`, nil},
		{"no issuer", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n", nil},
		{"comments, and the ends of a document", "# who may come in\n---\n" + good + "---\n# nothing more\n", nil},
		{"empty", "", []string{"the file is empty"}},
		{"only comments", "# later\n", []string{"the file is empty"}},
		{"not YAML", "\x00\x01", []string{"control characters are not allowed"}},
		{"two documents", good + "---\n" + good, []string{"more than one YAML document"}},
		{"JSON and more", `{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AuthenticationConfiguration"} {}`, []string{"did not find expected"}},
		{"another kind", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n", []string{"kind", "AuthenticationConfiguration"}},
		{"another group", "apiVersion: v1\nkind: ConfigMap\n", []string{`kind "ConfigMap" of apiVersion "v1" is not AuthenticationConfiguration of apiserver.config.k8s.io/v1`}},
		{"no kind", "jwt: []\n", []string{`kind "" of apiVersion ""`}},
		{"another version", strings.Replace(good, "/v1", "/v2", 1), []string{`apiserver.config.k8s.io/v2`}},
		{"unknown field", fileWith("https://issuer.example", "  claimMapping: {}\n"), []string{`unknown field "jwt[0].claimMapping"`}},
		{"unknown field far down", fileWith("https://issuer.example", "  userValidationRules: [{expression: 'true', messages: x}]\n"),
			[]string{`unknown field "jwt[0].userValidationRules[0].messages"`}},
		{"a field twice", fileWith("https://issuer.example", "  claimMappings: {username: {claim: email, prefix: \"\"}}\n"), []string{`"claimMappings" already set`}},
		{"egress selector", strings.Replace(good, "audiences: [edge]", "audiences: [edge], egressSelectorType: cluster", 1),
			[]string{"jwt[0].issuer.egressSelectorType: Forbidden: edge has no egress selectors"}},
		{"all errors together", fileWith("http://issuer.example", "  userValidationRules: [{expression: user.nosuch}]\n  claimValidationRules: [{}]\n"),
			[]string{"jwt[0].issuer.url", "scheme must be https", "jwt[0].claimValidationRules[0]", "jwt[0].userValidationRules[0].expression", "undefined field 'nosuch'"}},
		{"password", fileWith("https://jane:secret@issuer.example", ""), []string{"must not contain a username or password", "//REDACTED@issuer.example"}},
		{"issuer twice", good + good[strings.Index(good, "- issuer"):], []string{"jwt[1].issuer.url: Duplicate value"}},
		{"conditions, and not enabled", good + "anonymous: {enabled: false, conditions: [{path: /livez}]}\n", []string{"anonymous.conditions"}},
		{"larger than any ConfigMap", good + strings.Repeat("#", maxConfigBytes), []string{"is not a regular file of at most"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "authentication.yaml")
			writeFile(t, name, []byte(test.text))
			_, err := New(Options{File: name})
			if len(test.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range append(test.want, "--authentication-config: ", name) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\n does not say %q", err, want)
				}
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "secret") || len(text) > maxConfigErrorBytes+100 {
				t.Errorf("not one clean line: %q", text)
			}
		})
	}
	if _, err := New(Options{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil || !strings.HasPrefix(err.Error(), "--authentication-config: ") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := New(Options{File: t.TempDir()}); err == nil {
		t.Error("a folder was accepted")
	}
	many := &apiserver.AuthenticationConfiguration{}
	for n := range 65 {
		many.JWT = append(many.JWT, fromFlags(Flags{IssuerURL: fmt.Sprintf("https://issuer%d.example", n), ClientID: "edge"}))
	}
	if _, err := New(Options{File: writeConfig(t, many, "v1")}); err == nil || !strings.Contains(err.Error(), "64") {
		t.Errorf("65 issuers: %v", err)
	}
}

// TestFileOrFlags checks that a file excludes flags, and that default flags without a file
// configure no issuer.
func TestFileOrFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	writeFile(t, file, []byte(fileWith("https://issuer.example", "")))
	defaults := Flags{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}}
	if _, err := New(Options{File: file, Flags: defaults}); err != nil {
		t.Errorf("flags as they are by default: %v", err)
	}
	a, err := New(Options{Flags: defaults})
	if err != nil || a.Ready() != nil || len(a.Warnings()) != 0 {
		t.Errorf("no issuer: %v", err)
	}
	if got := refusal(t, a, "e30.e30.e30"); got != ReasonAlgorithm {
		t.Errorf("a token where there is no issuer: %q", got)
	}
	for flag, f := range map[string]Flags{
		"--oidc-issuer-url":      {IssuerURL: "https://issuer.example"},
		"--oidc-client-id":       {ClientID: "edge"},
		"--oidc-ca-file":         {CAFile: "x"},
		"--oidc-username-claim":  {UsernameClaim: "email"},
		"--oidc-username-prefix": {UsernamePrefix: "-"},
		"--oidc-groups-claim":    {GroupsClaim: "groups"},
		"--oidc-groups-prefix":   {GroupsPrefix: "g:"},
		"--oidc-signing-algs":    {SigningAlgs: []string{"ES256"}},
		"--oidc-required-claim":  {RequiredClaims: map[string]string{"a": "b"}},
	} {
		if _, err := New(Options{File: file, Flags: f}); err == nil || !strings.Contains(err.Error(), "excludes "+flag) {
			t.Errorf("%s beside a file: %v", flag, err)
		}
		if _, err := New(Options{Flags: f}); err == nil {
			t.Errorf("%s alone is accepted", flag)
		}
	}
}

func TestAnonymous(t *testing.T) {
	for _, test := range []struct {
		section string
		paths   map[string]bool
	}{
		{"", map[string]bool{"/livez": false, "": false}},
		{"anonymous: {enabled: false}", map[string]bool{"/livez": false, "/api": false}},
		{"anonymous: {enabled: true}", map[string]bool{"/livez": true, "/api": true}},
		{"anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}",
			map[string]bool{"/livez": true, "/readyz": true, "/livez/": false, "/api": false, "/Livez": false, "/livez/ping": false}},
	} {
		name := filepath.Join(t.TempDir(), "authentication.yaml")
		writeFile(t, name, []byte(fileWith("https://issuer.example", test.section)))
		a, err := New(Options{File: name})
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range test.paths {
			if got := a.Anonymous(path); got != want {
				t.Errorf("%q: %s: %v, want %v", test.section, path, got, want)
			}
			section := a.rules.Load().anonymous
			if section == nil || !section.Enabled {
				continue // nothing to compare: without an enabled anonymous section, kube-apiserver creates no anonymous authenticator
			}
			request := &http.Request{URL: &url.URL{Path: path}}
			if _, ok, err := anonymous.NewAuthenticator(section.Conditions).AuthenticateRequest(request); err != nil || ok != want {
				t.Errorf("%q: %s: kube-apiserver says %v, %v", test.section, path, ok, err)
			}
		}
	}
}
