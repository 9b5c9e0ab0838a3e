package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// TestEmptyIdentity checks that edge sends no request upstream for a valid token without a
// username. Without a username, edge could send no impersonation headers, and the API server would
// process the request with edge's own rights.
func TestEmptyIdentity(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New, "--oidc-username-prefix=-")
	for name, claim := range map[string]any{
		"empty": "", "none": nil, "a list": []string{}, "a list with a name": []string{"alice"}, "a number": 0, "false": false, "an object": map[string]any{},
	} {
		to := a.as(minted(t, idp, map[string]any{"preferred_username": claim}))
		for _, ask := range asks {
			got := ask.do(t, to)
			if got.code != http.StatusUnauthorized && got.code != http.StatusForbidden {
				t.Errorf("%s, %s: %v", name, ask.name, got)
			}
			a.nothing(t, name+", "+ask.name)
		}
	}
	null, err := idp.Mint(claimsWithNull("preferred_username"))
	if err != nil {
		t.Fatal(err)
	}
	if got := raw(t.Context(), t, a.as(null), "GET", podsURI); got.code != http.StatusUnauthorized && got.code != http.StatusForbidden {
		t.Errorf("null: %v", got)
	}
	a.nothing(t, "null")
	if got := raw(t.Context(), t, a.as(tokens["alice"]), "GET", podsURI); got.code != http.StatusOK || len(a.requests()) != 1 {
		t.Errorf("alice: %v, %d requests", got, len(a.requests()))
	}
}

func claimsWithNull(name string) map[string]any {
	claims := idp.Claims("alice")
	claims[name] = nil
	return claims
}

// TestSystemIdentity checks that edge refuses users and groups of an issuer that start with
// "system:", except those in --allow-system-identities.
func TestSystemIdentity(t *testing.T) {
	t.Parallel()
	bare := []string{"--oidc-username-prefix=-", "--oidc-groups-prefix="}
	a := attack(t, cluster.New, bare...)
	users := []string{
		"system:masters", "system:admin", "system:node:" + sites[cluster.New].cluster.Node, "system:serviceaccount:kube-system:default",
		"system:serviceaccount:edge:edge", "system:anonymous", "system:kube-controller-manager", "system:",
	}
	groups := []string{
		"system:masters", "system:nodes", "system:serviceaccounts", "system:authenticated", "system:unauthenticated", "system:", "system:x",
	}
	for _, user := range users {
		checkForbidden(t, a, "user "+user, minted(t, idp, map[string]any{"preferred_username": user}))
	}
	for _, group := range groups {
		for name, list := range map[string]any{"alone": group, "first": []string{group, "dev"}, "last": []string{"dev", group}} {
			checkForbidden(t, a, "group "+group+", "+name, minted(t, idp, map[string]any{"groups": list}))
		}
	}
	// Some servers remove white space around a header's value. Then each of these names would be
	// the name system:masters, so edge must refuse users and groups with these names.
	for _, name := range []string{" system:masters", "system:masters ", "\tsystem:masters"} {
		checkForbidden(t, a, "user "+name, minted(t, idp, map[string]any{"preferred_username": name}))
		checkForbidden(t, a, "group "+name, minted(t, idp, map[string]any{"groups": []string{name}}))
	}

	allowing := attack(t, cluster.New, append(bare, "--allow-system-identities=system:masters")...)
	checkForbidden(t, allowing, "not the one allowed", minted(t, idp, map[string]any{"groups": "system:masters2"}))
	master := raw(t.Context(), t, allowing.as(minted(t, idp, map[string]any{"groups": "system:masters"})), "GET", "/api/v1/namespaces/kube-system/secrets")
	if master.code != http.StatusOK {
		t.Errorf("the one allowed: %v", master)
	}
}

// checkForbidden checks that edge accepts token as valid, but answers 403 and sends nothing
// upstream, on every path.
func checkForbidden(t *testing.T, a attacked, name, token string) {
	t.Helper()
	for _, ask := range asks {
		got := ask.do(t, a.as(token))
		if got.code != http.StatusForbidden || got.status().Code != http.StatusForbidden {
			t.Errorf("%s, %s: %v, want 403 with a Status", name, ask.name, got)
		}
	}
	a.nothing(t, name)
}

// TestDelimiterGroup checks a group name that contains delimiters, such as a comma. The API server
// must receive it as one group, or edge must refuse the request.
func TestDelimiterGroup(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	for _, group := range []string{
		"a,system:masters", "a, system:masters", "a;system:masters", "a|b", "a%2csystem:masters", `a"b`, "a=b", "grüße", strings.Repeat("g", 4096), "a%0d%0aImpersonate-Group: system:masters",
	} {
		if got := raw(t.Context(), t, a.as(minted(t, idp, map[string]any{"groups": []string{group, "dev"}})), "GET", podsURI); got.code != http.StatusOK {
			t.Errorf("%q: %v", group, got)
		}
		heads := a.requests()
		a.recorder.Forget()
		want := []string{testbed.GroupsPrefix + group, testbed.GroupsPrefix + "dev"}
		if len(heads) != 1 || !slices.Equal(heads[0].Header["Impersonate-Group"], want) {
			t.Errorf("%.60q: %d requests upstream, the groups %.200q", group, len(heads), heads)
		}
	}
	for _, group := range []string{
		"a\r\nImpersonate-Group: system:masters", "a\nsystem:masters", "a\rb", "a\x00system:masters", "a\x1bb", "a\x7fb", "trailing ", "trailing\t", "\r\n",
	} {
		checkForbidden(t, a, group, minted(t, idp, map[string]any{"groups": []string{"dev", group}}))
		checkForbidden(t, a, group, minted(t, idp, map[string]any{"preferred_username": "alice" + group}))
	}
}

// TestUnverifiedEmail checks that edge does not use an email address as username if the issuer has
// not verified it.
func TestUnverifiedEmail(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New, "--oidc-username-claim=email", "--oidc-groups-claim=groups")
	address := func(verified any) string {
		return minted(t, idp, map[string]any{"email": "alice", "email_verified": verified})
	}
	for name, verified := range map[string]any{"false": false, "text": "true", "false, as text": "false", "a number": 1, "a list": []bool{true}} {
		for _, ask := range asks {
			if got := ask.do(t, a.as(address(verified))); got.code != http.StatusUnauthorized {
				t.Errorf("%s, %s: %v, want 401", name, ask.name, got)
			}
		}
		a.nothing(t, name)
	}
	// edge accepts an address without the claim email_verified, as kube-apiserver does
	for name, verified := range map[string]any{"true": true, "not said": nil} {
		if got := raw(t.Context(), t, a.as(address(verified)), "GET", podsURI); got.code != http.StatusOK {
			t.Errorf("%s: %v", name, got)
		}
	}
}
