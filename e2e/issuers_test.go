package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// trusted describes an entry of an AuthenticationConfiguration: an issuer, the audience of its
// tokens, and the prefix for the names of its users and groups.
type trusted struct {
	issuer           *issuer.Issuer
	audience, prefix string
}

// configuration returns an AuthenticationConfiguration (apiserver.config.k8s.io/v1) with these
// entries, as JSON, which is also valid YAML.
func configuration(t *testing.T, entries ...trusted) []byte {
	t.Helper()
	jwt := []any{}
	for _, e := range entries {
		claim := func(name string) map[string]any { return map[string]any{"claim": name, "prefix": e.prefix} }
		jwt = append(jwt, map[string]any{
			"issuer":        map[string]any{"url": e.issuer.URL, "audiences": []string{e.audience}, "certificateAuthority": string(e.issuer.CA)},
			"claimMappings": map[string]any{"username": claim("preferred_username"), "groups": claim("groups")},
		})
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": jwt,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// startConfiguredEdge starts an edge with an authentication configuration file, and returns the
// edge and the file's path. RBAC gives rights only to users of entries whose prefix is
// testbed.GroupsPrefix.
func startConfiguredEdge(t *testing.T, entries ...trusted) (*testbed.Edge, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(file, configuration(t, entries...), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--authentication-config=" + file}
	return startEdge(t, testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Args: args}), file
}

// TestTwoIssuers checks that users of two issuers can send requests at the same time, each under
// the name that belongs to the issuer. Neither issuer must be able to issue tokens for the other's
// users.
func TestTwoIssuers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	one := trusted{startIssuer(t), issuer.ClientID, "one:"}
	two := trusted{startIssuer(t), issuer.OtherClientID, "two:"}
	edge, _ := startConfiguredEdge(t, one, two)

	var wg sync.WaitGroup
	for _, from := range []trusted{one, two} {
		for user, group := range map[string]string{"alice": "dev", "bob": "ops"} {
			token, err := from.issuer.LoginFor(ctx, user, from.audience)
			if err != nil {
				t.Fatal(err)
			}
			client := clientAs(t, edge.Access(token), rest.ImpersonationConfig{})
			wantGroups := []string{from.prefix + group, "system:authenticated"}
			wg.Go(func() {
				for range 20 {
					got, err := whoAmI(ctx, client)
					if err != nil || got.Username != from.prefix+user || !reflect.DeepEqual(got.Groups, wantGroups) {
						t.Errorf("%s%s: the API server sees %+v, %v", from.prefix, user, got, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()

	must := func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, c := range []struct{ own, other trusted }{{one, two}, {two, one}} {
		claims := func(issuer, audience string) map[string]any {
			claims := c.own.issuer.Claims("alice")
			claims["iss"], claims["aud"] = issuer, audience
			return claims
		}
		ownURL, otherURL, otherKey := c.own.issuer.URL, c.other.issuer.URL, c.other.issuer.KeyID()
		good := must(c.own.issuer.Mint(claims(ownURL, c.own.audience)))
		if a := raw(ctx, t, edge.Access(good), "GET", podsURI, askJSON); a.code != 403 {
			t.Errorf("%s a good token: %v, want the API server's 403", c.own.prefix, a)
		}
		for name, token := range map[string]string{
			"the other's audience":             must(c.own.issuer.LoginFor(ctx, "alice", c.other.audience)),
			"the other's name":                 must(c.own.issuer.Mint(claims(otherURL, c.other.audience))),
			"the other's name, own audience":   must(c.own.issuer.Mint(claims(otherURL, c.own.audience))),
			"the other's key id":               must(c.own.issuer.MintAs(otherKey, claims(ownURL, c.own.audience))),
			"the other's name and key id":      must(c.own.issuer.MintAs(otherKey, claims(otherURL, c.other.audience))),
			"its own name with a slash":        must(c.own.issuer.Mint(claims(ownURL+"/", c.own.audience))),
			"an audience that has both inside": must(c.own.issuer.Mint(claims(ownURL, c.own.audience+","+c.other.audience))),
		} {
			if a := raw(ctx, t, edge.Access(token), "GET", podsURI, askJSON); a.code != 401 {
				t.Errorf("%s %s: %v, want 401", c.own.prefix, name, a)
			}
		}
	}
}

// TestConfigReload checks a change of the authentication configuration while users send requests.
// No request of a user may fail whose issuer is in the old and the new configuration. edge must
// refuse an invalid file as a whole.
func TestConfigReload(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	ctx := t.Context()
	issuers := []*issuer.Issuer{startIssuer(t), startIssuer(t), startIssuer(t)}
	entries := make([]trusted, len(issuers))
	for i, from := range issuers {
		// RBAC allows groups whose names begin with testbed.GroupsPrefix to list pods
		entries[i] = trusted{from, issuer.ClientID, testbed.GroupsPrefix}
	}
	edge, file := startConfiguredEdge(t, entries[0], entries[1])
	f := startFlow(t, edge)
	defer f.stop()
	name := func(i int) string { return fmt.Sprintf("issuer %d", i) }
	source := func(i int) func(context.Context) (signed, error) {
		return func(context.Context) (signed, error) {
			token, err := issuers[i].Mint(issuers[i].Claims("alice"))
			return signed{token, name(i)}, err
		}
	}
	c := newCaller(t, edge.Access(""))
	becomes := func(i, code int) {
		t.Helper()
		eventually(ctx, t, phaseLimit, fmt.Sprintf("a token of %s: %d", name(i), code), func(ctx context.Context) error {
			s, err := source(i)(ctx)
			if err != nil {
				return err
			}
			got, body, err := c.get(ctx, podsURI, s.token)
			if err == nil && got != code {
				err = fmt.Errorf("%d %s", got, body)
			}
			return err
		})
	}
	// write replaces the file atomically, as Kubernetes updates a mounted ConfigMap
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file+".new", text, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	f.add(source(0))
	f.add(source(1))
	f.await(name(0), name(1))
	becomes(2, http.StatusUnauthorized)
	// edge cannot fetch this issuer's keys any more and must use those that it has
	issuers[0].Stop()

	write(configuration(t, entries...))
	becomes(2, http.StatusOK)
	f.add(source(2))
	f.await(name(0), name(1), name(2))

	for says, text := range map[string][]byte{
		// an entry is valid alone, but a configuration with two entries for the same issuer is
		// invalid
		"Duplicate value": configuration(t, entries[0], entries[0]),
		"yaml":            []byte("jwt: ["),
	} {
		write(text)
		eventually(ctx, t, phaseLimit, "/ready and the log say "+says, func(ctx context.Context) error {
			code, body, err := edge.Ready(ctx)
			if err != nil || code != http.StatusOK || !strings.Contains(body, file) || !strings.Contains(body, says) {
				return fmt.Errorf("/ready: %d %s, %v", code, body, err)
			}
			log, err := edge.Process.Output()
			if err == nil && !strings.Contains(log, says) {
				err = errors.New("edge's log does not contain it")
			}
			return err
		})
		f.await(name(0), name(1), name(2))
	}

	f.excuse(name(1))
	write(configuration(t, entries[0], entries[2]))
	becomes(1, http.StatusUnauthorized)
	f.await(name(0), name(2))
	if code, body, err := edge.Ready(ctx); err != nil || code != http.StatusOK || strings.Contains(body, file) {
		t.Errorf("/ready: %d %s, %v", code, body, err)
	}
	f.stop()
}
