package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/pki"
)

// tokenFile is a file that contains edge's own credential, a token that is bound to a Secret. When
// the test deletes the Secret, the token becomes invalid.
type tokenFile struct {
	*testing.T
	cluster *cluster.Cluster
	path    string
	current cluster.Access // the API server's address, with the token that is now in the file
	secret  string
}

// edgeWithTokenFile starts an edge whose kubeconfig contains the path of a token file.
func edgeWithTokenFile(t *testing.T, c *cluster.Cluster) (*testbed.Edge, *tokenFile) {
	t.Helper()
	// EdgeToken also creates the service account whose tokens the file will contain
	if _, err := c.EdgeToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &tokenFile{T: t, cluster: c, path: filepath.Join(dir, "token"), current: c.AdminAccess()}
	f.current.Client = pki.KeyPair{}
	f.replace()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: c.URL, CertificateAuthorityData: f.current.CA}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{TokenFile: f.path}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return startEdge(t, testbed.EdgeOptions{Cluster: c, Issuer: idp, Args: []string{"--kubeconfig=" + kubeconfig}}), f
}

// replace makes a new Secret and a token that is bound to it. It replaces the content of the token
// file atomically, as a kubelet does.
func (f *tokenFile) replace() {
	f.Helper()
	secret, err := f.cluster.Client.CoreV1().Secrets(edgeNamespace).Create(f.Context(),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "own-"}}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: secret.Name, UID: secret.UID},
	}}
	answer, err := f.cluster.Client.CoreV1().ServiceAccounts(edgeNamespace).CreateToken(f.Context(), "edge", request, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(f.path+".next", []byte(answer.Status.Token), 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(f.path+".next", f.path); err != nil {
		f.Fatal(err)
	}
	f.secret, f.current.Token = secret.Name, answer.Status.Token
}

// end deletes the Secret, which makes the token in the file invalid. The function gone, which end
// returns, reports whether the API server already refuses the token; the API server caches tokens
// for some seconds.
func (f *tokenFile) end() (gone func() bool) {
	f.Helper()
	if err := f.cluster.Client.CoreV1().Secrets(edgeNamespace).Delete(f.Context(), f.secret, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
	old := f.current
	return func() bool {
		return raw(f.Context(), f.T, old, "GET", "/version", askJSON).code == http.StatusUnauthorized
	}
}

// exchanges sends several kinds of requests as alice and returns the response to each kind.
func exchanges(t *testing.T, to cluster.Access) map[string]answer {
	t.Helper()
	body := `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`
	return map[string]answer{
		"a list":   overHTTP2(t.Context(), t, to, podsURI, http.Header{"Accept": {"application/json"}}),
		"a POST":   post(t, to, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body),
		"exec":     raw(t.Context(), t, to, "GET", execURI, askWebSocket("v5.channel.k8s.io")...),
		"a tunnel": raw(t.Context(), t, to, "GET", portForwardURI, askWebSocket("SPDY/3.1+portforward.k8s.io")...),
	}
}

// post sends a POST with a body. Tests use it to check that edge can send the body a second time if
// the API server has refused edge's credential.
func post(t *testing.T, to cluster.Access, uri, body string) answer {
	t.Helper()
	conn := dial(t.Context(), t, to, "", "http/1.1")
	defer conn.Close()
	return exchange(t, conn, to, "POST", uri, askJSON, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
}

// TestOwnCredentialExpires checks edge's own credential. No client's request may fail when the
// token file is replaced and the old token becomes invalid a moment later.
func TestOwnCredentialExpires(t *testing.T) {
	t.Parallel()
	edge, f := edgeWithTokenFile(t, sites[cluster.New].cluster)
	gone := f.end() // make the token invalid that edge has read from the file
	f.replace()
	ended := false
	// send requests until the API server refuses the old token, and then one more round of requests
	for range 2 {
		for !ended {
			ended = gone()
			for what, a := range exchanges(t, edge.Access(tokens["alice"])) {
				if a.code >= 300 || a.code < 101 {
					t.Errorf("%s: %v", what, a)
				}
			}
			if t.Failed() || t.Context().Err() != nil {
				return
			}
		}
		ended = false
	}
	if code, said, err := edge.Ready(t.Context()); err != nil || code != 200 {
		t.Errorf("ready: %d %s %v", code, said, err)
	}
}

// TestOwnCredentialRefused checks what happens while the API server refuses edge's own credential.
// edge must explain this to every client and must not be ready. When the token file contains a
// valid token again, edge must recover.
func TestOwnCredentialRefused(t *testing.T) {
	t.Parallel()
	edge, f := edgeWithTokenFile(t, sites[cluster.New].cluster)
	to := edge.Access(tokens["alice"])
	gone := f.end()
	eventually(t.Context(), t, patience, "the token's end", func(context.Context) error {
		if !gone() {
			return errors.New("the API server still accepts the old token")
		}
		return nil
	})
	refused := func(what string, a answer) {
		t.Helper()
		s := a.status()
		if a.code != 503 || s.Code != 503 || s.Reason != metav1.StatusReasonServiceUnavailable || !strings.HasPrefix(s.Message, "edge: ") ||
			!strings.Contains(s.Message, "edge's own credential") || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v %v", what, a, a.header)
		}
	}
	for what, a := range exchanges(t, to) {
		refused(what, a)
		if a.header.Get("Audit-Id") == "" {
			t.Errorf("%s: the API server's Audit-ID is lost: %v", what, a.header)
		}
	}
	refused("an impersonation", raw(t.Context(), t, to, "GET", podsURI, askJSON, "Impersonate-User: somebody"))
	if code, said, err := edge.Ready(t.Context()); err != nil || code != 503 || !strings.Contains(said, "edge's own credential") {
		t.Errorf("ready: %d %s %v", code, said, err)
	}
	f.replace()
	if err := edge.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, a := range exchanges(t, to) {
		if a.code >= 300 {
			t.Errorf("%s, afterwards: %v", what, a)
		}
	}
	if strings.Contains(edge.Process.Tail(), f.current.Token) {
		t.Error("the token is in the log")
	}
}

// TestForeign401 checks a 401 that is not about edge's credential: a kubelet refuses the API
// server's certificate. edge must forward the API server's response and stay ready.
func TestForeign401(t *testing.T) {
	t.Parallel()
	c := sites[cluster.New].cluster
	// a certificate of a CA that the kubelet does not trust
	stranger, err := bed.CA.Issue("stranger")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "stranger.crt"), filepath.Join(dir, "stranger.key")
	if err := errors.Join(os.WriteFile(cert, stranger.Cert, 0o600), os.WriteFile(key, stranger.Key, 0o600)); err != nil {
		t.Fatal(err)
	}
	upstream := startReplica(t, c, "--kubelet-client-certificate="+cert, "--kubelet-client-key="+key).Access
	edge := startEdge(t, testbed.EdgeOptions{Cluster: c, Issuer: idp, Upstream: upstream})
	admin := c.AdminAccess()
	admin.Server = upstream.Server
	for what, ask := range map[string]func(to cluster.Access) answer{
		"logs": func(to cluster.Access) answer {
			return raw(t.Context(), t, to, "GET", podsURI+"/shell/log", askJSON)
		},
		"exec over SPDY": func(to cluster.Access) answer { return raw(t.Context(), t, to, "POST", execURI, askSPDY...) },
		"port-forward": func(to cluster.Access) answer {
			return raw(t.Context(), t, to, "POST", portForwardURI, "Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io")
		},
	} {
		want, got := ask(admin), ask(edge.Access(tokens["alice"]))
		if want.code != 401 {
			t.Fatalf("%s at the API server itself: %v", what, want)
		}
		if got.code != want.code || string(got.body) != string(want.body) || got.header.Get("Content-Type") != want.header.Get("Content-Type") ||
			// compare edge's response with the API server's own (want), which has no Audit-Id if
			// the request is an upgrade
			(got.header.Get("Audit-Id") == "") != (want.header.Get("Audit-Id") == "") {
			t.Errorf("%s: %v %v, want %v %v", what, got, got.header, want, want.header)
		}
	}
	if code, said, err := edge.Ready(t.Context()); err != nil || code != 200 {
		t.Errorf("ready: %d %s %v", code, said, err)
	}
}

// TestReadyBesideTerminatingAPIServer checks an API server that shuts down. Its /readyz reports
// that it is not ready, but it serves requests until its load balancer has noticed. edge must
// report ready as long as the API server answers edge's requests, and not ready when the API server
// has ended.
func TestReadyBesideTerminatingAPIServer(t *testing.T) {
	t.Parallel()
	c := sites[cluster.New].cluster
	apiServer := startReplica(t, c, "--shutdown-delay-duration=70s")
	upstream := apiServer.Access
	edge := startEdge(t, testbed.EdgeOptions{Cluster: c, Issuer: idp, Upstream: upstream})
	admin := c.AdminAccess()
	admin.Server = upstream.Server
	if err := apiServer.Terminate(); err != nil {
		t.Fatal(err)
	}
	eventually(t.Context(), t, patience, "the API server's end begins", func(context.Context) error {
		if a := raw(t.Context(), t, admin, "GET", "/readyz", askJSON); a.code != 500 {
			return fmt.Errorf("/readyz is %v", a)
		}
		return nil
	})
	// number of polls, one per second: longer than the 15 s after which edge would notice, shorter
	// than the API server's shutdown delay
	const polls = 25
	for range polls {
		code, said, err := edge.Ready(t.Context())
		if err != nil || code != 200 {
			t.Fatalf("ready: %d %s %v", code, said, err)
		}
		if a := raw(t.Context(), t, edge.Access(tokens["alice"]), "GET", podsURI, askJSON); a.code != 200 {
			t.Fatal(a)
		}
		time.Sleep(time.Second)
	}
	apiServer.Kill()
	eventually(t.Context(), t, patience, "edge is not ready without an API server", func(ctx context.Context) error {
		code, _, err := edge.Ready(ctx)
		if err == nil && code == 200 {
			err = errors.New("edge is still ready")
		}
		return err
	})
}
