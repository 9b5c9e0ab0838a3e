package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"edge/e2e/rawclient"
	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// askStream returns the method and the header lines with which a client asks for a stream, such as
// an exec, in the dialect d (a protocol, SPDY or WebSocket, and its subprotocols).
func askStream(d rawclient.Dialect) (method string, lines []string) {
	if d.SPDY && !d.Tunnel {
		lines = append(lines, "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0")
		for _, version := range d.Offer {
			lines = append(lines, "X-Stream-Protocol-Version: "+version)
		}
		return http.MethodPost, lines
	}
	lines = askWebSocket(strings.Join(d.Offer, ", "))
	if len(d.Offer) == 0 {
		lines = lines[:len(lines)-1]
	}
	return http.MethodGet, lines
}

// accessReview decodes the SubjectAccessReview in a request that edge sent, in JSON or protobuf.
// The second result is false if the request contains no SubjectAccessReview.
func accessReview(head network.Head) (authorizationv1.SubjectAccessReviewSpec, bool) {
	if !head.IsReview() {
		return authorizationv1.SubjectAccessReviewSpec{}, false
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(head.Review, nil, nil)
	review, ok := object.(*authorizationv1.SubjectAccessReview)
	if err != nil || !ok {
		return authorizationv1.SubjectAccessReviewSpec{}, false
	}
	return review.Spec, true
}

// reviewed returns true if edge sent the API server an access review for this verb, resource and
// subresource.
func (a attacked) reviewed(verb, resource, subresource string) bool {
	for _, head := range a.recorder.Heads() {
		review, ok := accessReview(head)
		if !ok || review.ResourceAttributes == nil {
			continue
		}
		if at := review.ResourceAttributes; at.Verb == verb && at.Resource == resource && at.Subresource == subresource {
			return true
		}
	}
	return false
}

// TestVerbDrift checks exec, attach and port-forward for a user who has only the verb get on these
// subresources, not create. edge must open no stream for that user, in any dialect (protocol and
// subprotocol) and with any upstream protocol. This also holds where the API server itself would
// require only get for a WebSocket.
func TestVerbDrift(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		rules := []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"pods/exec", "pods/attach", "pods/portforward"}, Verbs: []string{"get", "list", "watch", "update"},
		}}
		if err := grantGroup(t.Context(), s.cluster, cluster.Namespace, "getters", rules); err != nil {
			t.Fatal(err)
		}
		getter := minted(t, idp, map[string]any{"preferred_username": "getter", "groups": []string{"getters"}})
		own, err := s.cluster.UserAccess(testbed.UsernamePrefix+"getter", testbed.GroupsPrefix+"getters")
		if err != nil {
			t.Fatal(err)
		}
		atAPIServer := raw(t.Context(), t, own, "GET", execURI, askWebSocket("v4.channel.k8s.io")...)
		if want := map[cluster.Kind]int{cluster.New: 403, cluster.Old: 101}[s.cluster.Kind]; atAPIServer.code != want {
			t.Errorf("the API server itself: %v, want %d", atAPIServer, want)
		}
		for _, mode := range []string{"auto", "spdy", "websocket"} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				a := attack(t, s.cluster.Kind, "--upstream-streaming="+mode)
				ask := func(token, uri string, d rawclient.Dialect) {
					method, lines := askStream(d)
					// Count the recorded requests. The recorder's method Forget, which removes
					// them, would also remove the reviews. edge caches reviews, so it does not send
					// the same review again.
					before := len(a.requests())
					got := raw(t.Context(), t, a.as(token), method, uri, lines...)
					if token == getter && got.code != http.StatusForbidden || token != getter && mode == "auto" && got.code != http.StatusSwitchingProtocols {
						t.Errorf("%s of %.70s: %v", d.Name, uri, got)
					}
					sub, _, _ := strings.Cut(uri[strings.LastIndexByte(uri, '/')+1:], "?")
					for _, head := range a.requests()[before:] {
						if head.Header.Get("Upgrade") != "" && head.Method != http.MethodPost && !a.reviewed("create", "pods", sub) {
							t.Errorf("%s of %.70s went upstream as a %s, without a review", d.Name, uri, head.Method)
						}
					}
				}
				for _, token := range []string{getter, tokens["alice"]} {
					for _, d := range rawclient.Execs {
						ask(token, execURI, d)
						ask(token, podsURI+"/shell/attach?stdout=true", d)
					}
					for _, d := range rawclient.Forwards {
						ask(token, portForwardURI+"?ports=8080", d)
					}
				}
			})
		}
	})
}

// TestNodesProxyExec checks an exec that a client sends to the kubelet through the API server's
// proxy for nodes or pods. edge must require the verb create for it, as for every exec, although an
// API server requires only get.
func TestNodesProxyExec(t *testing.T) {
	t.Parallel()
	s := sites[cluster.New]
	ctx, node := t.Context(), s.cluster.Node
	for group, verbs := range map[string][]string{"peekers": {"get"}, "kubeletadmins": {"get", "create"}} {
		everywhere(t, s.cluster, group, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/proxy", "pods/proxy"}, Verbs: verbs})
	}
	const exec = "/exec/" + cluster.Namespace + "/shell/main?command=true&output=1"
	nodeExec := "/api/v1/nodes/" + node + "/proxy" + exec
	own, err := s.cluster.UserAccess(testbed.UsernamePrefix+"peeker", testbed.GroupsPrefix+"peekers")
	if err != nil {
		t.Fatal(err)
	}
	// reached is the kubelet's answer to an exec that the API server has authorized. The API server
	// sends an upgrade to a node without its query, so the kubelet misses the parameters. A
	// port-forward needs none.
	const reached = "you must specify at least 1 of stdin, stdout, stderr"
	if got := raw(ctx, t, own, "GET", nodeExec, askWebSocket("v4.channel.k8s.io")...); !strings.Contains(string(got.body), reached) {
		t.Fatalf("the API server itself: %v, want the kubelet's answer %q; otherwise this test proves nothing", got, reached)
	}
	nodeForward := "/api/v1/nodes/" + node + "/proxy/portForward/" + cluster.Namespace + "/shell"
	forward := slices.Clone(askSPDY)
	forward[2] = "X-Stream-Protocol-Version: portforward.k8s.io"
	if got := raw(ctx, t, own, "GET", nodeForward, forward...); got.code != http.StatusSwitchingProtocols {
		t.Fatalf("the API server itself: port-forward: %v, want 101; otherwise this test proves nothing", got)
	}

	a := attack(t, cluster.New)
	peeker := a.as(minted(t, idp, map[string]any{"preferred_username": "peeker", "groups": []string{"peekers"}}))
	admin := a.as(minted(t, idp, map[string]any{"preferred_username": "kubeletadmin", "groups": []string{"kubeletadmins"}}))
	for uri, resource := range map[string]string{
		nodeExec: "nodes",
		"/api/v1/nodes/https:" + node + ":10250/proxy" + exec:                                   "nodes",
		"/api/v1/nodes/" + node + "/proxy/attach/" + cluster.Namespace + "/shell/main?output=1": "nodes",
		nodeForward: "nodes",
		"/api/v1/nodes/" + node + "/proxy/run/" + cluster.Namespace + "/shell/main?cmd=true":                "nodes",
		"/api/v1/nodes/" + node + "/proxy/exec/" + cluster.Namespace + "/shell/some-uid/main?command=true":  "nodes",
		podsURI + "/https:shell:10250/proxy" + exec:                                                         "pods",
		podsURI + "/https:shell:10250/proxy/attach/" + cluster.Namespace + "/shell/main?output=1":           "pods",
		podsURI + "/https:shell:10250/proxy/portForward/" + cluster.Namespace + "/shell?port=8080&protocol": "pods",
	} {
		got := raw(ctx, t, peeker, "GET", uri, askWebSocket("v4.channel.k8s.io")...)
		if got.code != http.StatusForbidden || !strings.Contains(got.status().Message, "cannot create resource") {
			t.Errorf("%s: %v, want 403", uri, got)
		}
		if !a.reviewed("create", resource, "proxy") {
			t.Errorf("%s: no review for create %s/proxy", uri, resource)
		}
		a.nothing(t, uri)
		// For a GET, the API server requires only the verb get, also over SPDY. edge must require
		// the verb create.
		for _, method := range []string{"POST", "GET"} {
			got := raw(ctx, t, peeker, method, uri, askSPDY...)
			if got.code != http.StatusForbidden || !strings.Contains(got.status().Message, "cannot create resource") {
				t.Errorf("%s over SPDY: %v, want 403", uri, got)
			}
			a.nothing(t, uri)
		}
	}
	// The API server would normalize each of these paths before it sends the request to the
	// kubelet, so the kubelet would see another path than edge. edge must refuse such a request.
	for _, odd := range []string{
		strings.Replace(nodeExec, "/exec/", "//exec/", 1), strings.Replace(nodeExec, "/exec/", "/%65xec/", 1), strings.Replace(nodeExec, "/exec/", "/x%2f..%2fexec/", 1),
		strings.Replace(nodeExec, "/exec/", "/./exec/", 1), strings.Replace(nodeExec, "/exec/", "/pods/../exec/", 1), strings.Replace(nodeExec, "/exec/", "/exec%2f", 1),
	} {
		if got := raw(ctx, t, peeker, "GET", odd, askWebSocket("v4.channel.k8s.io")...); got.code != http.StatusBadRequest {
			t.Errorf("%s: %v, want 400", odd, got)
		}
		a.nothing(t, odd)
	}
	for _, method := range []string{"GET", "POST"} {
		lines := askSPDY
		if method == "GET" {
			lines = askWebSocket("v4.channel.k8s.io")
		}
		if got := raw(ctx, t, admin, method, nodeExec, lines...); !strings.Contains(string(got.body), reached) {
			t.Errorf("%s by a user with create: %v, want %q", method, got, reached)
		}
		if got := raw(ctx, t, admin, method, nodeForward, forward...); got.code != http.StatusSwitchingProtocols {
			t.Errorf("%s of a port-forward by a user with create: %v, want 101", method, got)
		}
	}
}
