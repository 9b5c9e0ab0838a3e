package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// openPaths are the paths for which the tests let edge (flag --anonymous-paths) and the API server
// accept requests without a login. RBAC still refuses such a request for some of the paths, for
// example for /openid/v1/jwks, which only service accounts may read.
var openPaths = []string{"/version", "/healthz", "/livez", "/readyz", "/api", "/apis", "/openapi/v3", "/.well-known/openid-configuration", "/openid/v1/jwks"}

// TestAnonymousPathsAgainstAPIServer checks that edge with --anonymous-paths answers like an API
// server with the same paths in anonymous.conditions, directly and through the load balancer. The
// table sets the field code for the requests for which edge requires a login and the API server
// does not.
func TestAnonymousPathsAgainstAPIServer(t *testing.T) {
	t.Parallel()
	s := sites[cluster.New]
	upstream := startReplica(t, s.cluster, "--authentication-config="+anonymousConfiguration(t)).Access
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Upstream: upstream, Args: []string{"--anonymous-paths=" + strings.Join(openPaths, ",")}})
	alb, err := bed.StartALB(t.Context(), edge.Addr)
	if err != nil {
		t.Fatal(err)
	}
	type request struct {
		method, uri string
		header      []string
		// expected status code of edge's response; 0: the code of the API server's response
		code int
	}
	requests := []request{
		{"GET", "/version?timeout=32s", nil, 0},
		{"GET", "/version", []string{"Authorization: Basic eDp5"}, 0},
		{"GET", "/version", []string{"Authorization: Bearer no.token.atall"}, 0},
		{"GET", "/version", []string{"Authorization: Bearer " + tokens["alice"]}, 0},
		{"GET", "/version", []string{"Impersonate-User: bob"}, 0},
		{"GET", "/version", []string{"Impersonate-User: system:anonymous"}, 0},
		{"GET", "/version", []string{"Impersonate-User: bob", "Impersonate-Group: system:masters"}, 0},
		{"GET", "/version/", nil, 0},
		{"GET", "/VERSION", nil, 0},
		{"GET", "//version", nil, 0},
		{"GET", "/", nil, 0},
		{"HEAD", "/", nil, 0},
		{"GET", "/favicon.ico", nil, 0},
		{"GET", "/metrics", nil, 0},
		{"GET", "/api/v1", nil, 0},
		{"GET", "/api/v1/namespaces", nil, 0},
		{"GET", "/openapi/v3/version", nil, 0},
		{"GET", "/livez/ping", nil, 0},
		// For the following requests edge is stricter than the API server: edge requires a login
		// for methods other than GET and HEAD, for an Upgrade, for a request with a body, and for a
		// path with percent-encoded letters.
		{"POST", "/version", []string{"Content-Length: 0"}, 401},
		{"DELETE", "/api", nil, 401},
		{"OPTIONS", "/version", nil, 401},
		{"GET", "/version", []string{"Connection: Upgrade", "Upgrade: websocket"}, 401},
		{"GET", "/version", []string{"Content-Length: 1", "", "x"}, 401},
		{"GET", "/%76ersion", nil, 401},
	}
	for _, path := range openPaths {
		requests = append(requests, request{"GET", path, nil, 0}, request{"HEAD", path, nil, 0})
	}
	open := 0
	for _, c := range requests {
		want := raw(t.Context(), t, upstream, c.method, c.uri, c.header...)
		ways := map[string]cluster.Access{direct: edge.Access(""), balanced: alb.Access("")}
		if strings.HasPrefix(strings.Join(c.header, ""), "Connection") || strings.Contains(c.uri, "%") {
			// do not send these requests through the load balancer, because it rewrites the
			// Connection header and escaped paths
			delete(ways, balanced)
		}
		for way, to := range ways {
			got := raw(t.Context(), t, to, c.method, c.uri, c.header...)
			code := c.code
			if code == 0 {
				code = want.code
			}
			if got.code != code {
				t.Errorf("%s, %s %s %.40q: %v\nwant %d, at the API server %v", way, c.method, c.uri, c.header, got, code, want)
			}
			if c.code != 0 && want.code == 401 {
				t.Errorf("%s %s %.40q: the API server requires a login too, so this row proves nothing", c.method, c.uri, c.header)
			}
			if got.code == http.StatusOK && c.method == "GET" {
				open++
				if string(got.body) != string(want.body) {
					t.Errorf("%s, %s: %v, at the API server %v", way, c.uri, got, want)
				}
			}
		}
	}
	if open < 2*7 {
		t.Errorf("only %d answers were open", open)
	}
}

// anonymousConfiguration writes an authentication configuration with the issuer of the tests and
// anonymous access to openPaths, and returns the file's path.
func anonymousConfiguration(t *testing.T) string {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(configuration(t, trusted{idp, issuer.ClientID, testbed.UsernamePrefix}), &config); err != nil {
		t.Fatal(err)
	}
	var conditions []map[string]string
	for _, path := range openPaths {
		conditions = append(conditions, map[string]string{"path": path})
	}
	config["anonymous"] = map[string]any{"enabled": true, "conditions": conditions}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
