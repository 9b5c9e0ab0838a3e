package e2e

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/network"
)

// The tests of attack_*_test.go are the rows of docs/security.md's attack corpus, by name: each attacks an edge of its own and
// looks at what reaches the API server.

// attacked is such an edge, and the record of its way upstream.
type attacked struct {
	*testbed.Edge
	recorder *network.Recorder
}

// attack starts an edge in front of a cluster, for the time of the test.
func attack(t *testing.T, kind cluster.Kind, args ...string) attacked {
	t.Helper()
	cluster := sites[kind].cluster
	recorder, err := bed.StartRecorder(t.Context(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := bed.StartEdge(t.Context(), testbed.EdgeOptions{Cluster: cluster, Issuer: idp, Upstream: recorder.Access(), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { edge.Process.Stop(5 * time.Second) })
	return attacked{edge, recorder}
}

// as is how the holder of a token reaches it.
func (a attacked) as(token string) cluster.Access { return a.Access(token) }

// asCertified is how the holder of a certificate for a user of the issuer's, and groups, reaches it, without a token.
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

// requests are those of clients that reached the API server, without what edge asks of its own accord.
func (a attacked) requests() []network.Head {
	return slices.DeleteFunc(a.recorder.Heads(), func(head network.Head) bool { return head.IsReview() || isOffer(head) })
}

// isOffer knows how edge finds out which impersonation the API server offers: a request that is refused whatever it says.
func isOffer(head network.Head) bool {
	return head.Method == "GET" && head.URI == "/version" && head.Header.Get("Impersonate-Group") == "edge-asks-what-is-offered"
}

// nothing fails the test if a client's request reached the API server. Reviews stay on record: edge remembers their answers.
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

// minted is a token with alice's claims, but for some: nil takes one away.
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

// base64url is what the parts of a token are written in.
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
