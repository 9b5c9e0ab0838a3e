package e2e

import (
	"testing"

	"edge/e2e/testbed/cluster"
)

// TestReleases checks requests that Kubernetes 1.29 answers otherwise than 1.37: through edge, a client
// must get the answer of the release that it uses.
func TestReleases(t *testing.T) {
	const discovery = "Accept: application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v="
	for _, row := range []struct {
		name, uri string
		lines     []string
		want      map[cluster.Kind]int // status codes of the API server itself
	}{
		{
			name: "a watch that begins with a list", uri: podsURI + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&fieldSelector=metadata.name%3Dnone&timeoutSeconds=1",
			want: map[cluster.Kind]int{cluster.Old: 422, cluster.New: 200},
		},
		{name: "discovery v2", uri: "/apis", lines: []string{discovery + "v2"}, want: map[cluster.Kind]int{cluster.Old: 406, cluster.New: 200}},
		{name: "discovery v2beta1", uri: "/apis", lines: []string{discovery + "v2beta1"}, want: map[cluster.Kind]int{cluster.Old: 200, cluster.New: 406}},
	} {
		t.Run(row.name, func(t *testing.T) {
			forEachSite(t, func(t *testing.T, s *site) {
				own := raw(t.Context(), t, s.ownAccess(t, "alice", "dev"), "GET", row.uri, row.lines...)
				if want := row.want[s.cluster.Kind]; own.code != want {
					t.Errorf("the API server itself: %v, want %d", own, want)
				}
				for _, path := range matrixPaths {
					got := raw(t.Context(), t, s.access(path, tokens["alice"]), "GET", row.uri, row.lines...)
					if a, b := got.header.Get("Content-Type"), own.header.Get("Content-Type"); got.code != own.code || a != b {
						t.Errorf("%s: %s %v, the API server itself: %s %v", path, a, got, b, own)
					}
				}
			})
		})
	}
}
