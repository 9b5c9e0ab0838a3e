package e2e

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/network"
)

// The tests in attack_*_test.go are the rows of the attack corpus in docs/security.md; each test
// has the name of its row. Each test attacks its own edge and checks which requests reach the API
// server.

// attacked is an edge under attack, with a recorder: a proxy between edge and the API server that
// records each request.
type attacked struct {
	*testbed.Edge
	recorder *network.Recorder
}

// attack starts an edge, and a proxy that records edge's requests, in front of a cluster, for the
// duration of the test.
func attack(t *testing.T, kind cluster.Kind, args ...string) attacked {
	t.Helper()
	cluster := sites[kind].cluster
	recorder, err := bed.StartRecorder(t.Context(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	edge := startEdge(t, testbed.EdgeOptions{Cluster: cluster, Issuer: idp, Upstream: recorder.Access(), Args: args})
	return attacked{edge, recorder}
}

// as returns the address of the attacked edge, with this token as the client's credential.
func (a attacked) as(token string) cluster.Access { return a.Access(token) }

// asCertified returns the address of the attacked edge for a client without a token. The client's
// credential is a certificate for user and groups, with the name prefixes of the issuer's users.
func (a attacked) asCertified(t *testing.T, user string, groups ...string) cluster.Access {
	t.Helper()
	for i := range groups {
		groups[i] = testbed.GroupsPrefix + groups[i]
	}
	own, err := sites[cluster.New].cluster.UserAccess(testbed.UsernamePrefix+user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	to := a.as("")
	to.Client = own.Client
	return to
}

// requests returns the clients' requests that reached the API server, without the reviews and the
// other requests that edge sends on its own.
func (a attacked) requests() []network.Head {
	return slices.DeleteFunc(a.recorder.Heads(), func(head network.Head) bool { return head.IsReview() || isOffer(head) })
}

// isOffer reports whether a request is edge's probe for the kinds of impersonation that the API
// server supports. The API server always refuses the probe.
func isOffer(head network.Head) bool {
	return head.Method == "GET" && head.URI == "/version" && head.Header.Get("Impersonate-Group") == "edge-asks-what-is-offered"
}

// The method nothing checks that no client's request has reached the API server. It keeps the
// recorded reviews, because edge caches their results and will not send the same reviews again.
func (a attacked) nothing(t *testing.T, name string) {
	t.Helper()
	reached := a.requests()
	for _, head := range reached {
		t.Errorf("%s: reached the API server: %v", name, head)
	}
	if len(reached) > 0 {
		a.recorder.Forget()
	}
}

// minted returns a token of issuer i with alice's claims. The claims in the parameter change
// replace hers; the value nil removes a claim.
func minted(t *testing.T, i *issuer.Issuer, change map[string]any) string {
	t.Helper()
	token, err := i.Mint(claimed(i, change))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func claimed(i *issuer.Issuer, change map[string]any) map[string]any {
	claims := i.Claims("alice")
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// base64url returns a part of a token, encoded in base64url: a text as it is, any other value as
// JSON.
func base64url(part any) string {
	text, ok := part.(string)
	if !ok {
		b, err := json.Marshal(part)
		if err != nil {
			panic(err)
		}
		text = string(b)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}
