package e2e

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// TestKubectlReadsWhy checks the error that kubectl prints for a token that edge refuses. If the
// token's signature is valid, the error must contain the reason. Otherwise it must contain only
// that the user must log in.
func TestKubectlReadsWhy(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New, tenantOnly)
	claims := func(name string, value any) map[string]any {
		c := idp.Claims("alice")
		c[name] = value
		return c
	}
	must := func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	login := func(why string) string { return "You must be logged in to the server (" + why + ")" }
	tests := map[string]struct{ token, says string }{
		"expired":        {must(idp.Mint(claims("exp", time.Now().Add(-time.Hour).Unix()))), login("Unauthorized: the token has expired: log in again")},
		"not yet valid":  {must(idp.Mint(claims("nbf", time.Now().Add(time.Hour).Unix()))), login("Unauthorized: the token is not valid yet: try again later, or compare the issuer's clock with edge's")},
		"required claim": {tokens["carol"], login(`Unauthorized: required claim "tenant" has another value`)},
		"odd group":      {must(idp.Mint(claims("groups", []string{"dev", "night shift "}))), `group "` + testbed.GroupsPrefix + `night shift " has a control character, or white space at its beginning or end; configure the issuer to send another group`},
		"odd user":       {must(idp.Mint(claims("preferred_username", "alice "))), `user name "` + testbed.UsernamePrefix + `alice " has a control character, or white space at its beginning or end; configure the issuer to send another name`},
		"forged":         {must(idp.Forge(claims("exp", time.Now().Add(-time.Hour).Unix()))), login("Unauthorized")},
		"wrong audience": {must(idp.LoginFor(t.Context(), "carol", issuer.OtherClientID)), login("Unauthorized")},
	}
	cache := t.TempDir()
	kubectl := func(version, token string) *clients.Kubectl {
		t.Helper()
		file, err := bed.Kubeconfig(a.as(token))
		if err != nil {
			t.Fatal(err)
		}
		return bed.Kubectl(version, file)
	}
	for _, version := range binaries.KubectlVersions {
		// kubectl stores in this folder what it has found out about a cluster; the first kubectl
		// command in this loop fills the folder
		dir := "--cache-dir=" + cache + "/" + version
		if r := kubectl(version, tokens["alice"]).Run(t.Context(), dir, "get", "pods"); r.Code != 0 {
			t.Fatalf("%s: code %d: %s", version, r.Code, r.Stderr)
		}
		for name, test := range tests {
			for _, args := range [][]string{{"get", "pods"}, {"exec", "shell", "--", "true"}, {"get", "--raw", "/version"}} {
				r := kubectl(version, test.token).Run(t.Context(), append([]string{dir}, args...)...)
				if r.Code == 0 || !strings.Contains(string(r.Stderr), test.says) {
					t.Errorf("%s, %s, %v: code %d: %s, want %s", version, name, args, r.Code, r.Stderr, test.says)
				}
			}
		}
		// with an empty cache, kubectl may first ask the server for its API resources; its error
		// must contain the reason, too
		for _, args := range [][]string{{"get", "pods"}, {"get", "--raw", "/version"}, {"version"}} {
			r := kubectl(version, tests["expired"].token).Run(t.Context(), append([]string{"--cache-dir=" + t.TempDir()}, args...)...)
			if r.Code == 0 || !strings.Contains(string(r.Stderr), "Unauthorized: the token has expired: log in again") {
				t.Errorf("%s, %v with an empty cache: code %d: %s", version, args, r.Code, r.Stderr)
			}
		}
	}
}

// TestUnusableGroups checks users with a group name that a header cannot carry. By default, edge
// refuses the user and names the group. With --unusable-groups=drop, edge sends the request without
// that group; it still refuses users with system groups.
func TestUnusableGroups(t *testing.T) {
	t.Parallel()
	deny := attack(t, cluster.New, "--oidc-groups-prefix=")
	drop, events := audited(t, cluster.New, everything, "--oidc-groups-prefix=", "--unusable-groups=drop", "--log-format=text")
	odd := []string{"", " dev", "dev ", "dev\t", "a\nb", "a\x00b", "a\r\nImpersonate-Group: system:masters", "a\x7fb"}
	for _, group := range odd {
		checkForbidden(t, deny, group, minted(t, idp, map[string]any{"groups": []string{"dev", group}}))
	}
	for _, groups := range [][]string{{"system:masters", "dev "}, {"system:masters "}, {" system:masters"}, {"", "\tsystem:masters"}, {"\x00system:masters"}} {
		checkForbidden(t, drop, strings.Join(groups, ","), minted(t, idp, map[string]any{"groups": groups}))
	}
	checkForbidden(t, drop, "a user", minted(t, idp, map[string]any{"preferred_username": "alice ", "groups": []string{""}}))

	token := minted(t, idp, map[string]any{"groups": append(slices.Clone(odd), "dev", "night  shift")})
	want := []string{"dev", "night  shift", "system:authenticated"}
	user, err := whoAmI(t.Context(), clientAs(t, drop.as(token), rest.ImpersonationConfig{}))
	if err != nil || user.Username != testbed.UsernamePrefix+"alice" || !slices.Equal(user.Groups, want) {
		t.Errorf("the API server sees %+v, %v; want the groups %q", user, err, want)
	}
	drop.recorder.Forget()
	for _, ask := range asks {
		if got := ask.do(t, drop.as(token)); got.code != http.StatusForbidden && got.code != http.StatusOK && got.code != 101 {
			t.Errorf("%s: %v", ask.name, got)
		}
		heads := drop.requests()
		drop.recorder.Forget()
		if len(heads) != 1 || !slices.Equal(heads[0].Header["Impersonate-Group"], want[:2]) {
			t.Errorf("%s: %d requests upstream, %q", ask.name, len(heads), heads)
		}
	}
	text, err := os.ReadFile(events)
	if err != nil || !strings.Contains(string(text), `"annotations":{"edge.identity/dropped-groups":"[\"\",\" dev\",`) {
		t.Errorf("audit events: %v %s", err, text)
	}
	if err := settling(t, func() error {
		for _, line := range accessLines(t, drop.Edge) {
			if strings.Contains(line, "msg=AuSuccess") && strings.Contains(line, `droppedGroups="\"\",\" dev\",`) {
				return nil
			}
		}
		return errors.New("no line of the access log contains the dropped groups")
	}); err != nil {
		t.Error(err)
	}
}
