package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// TestConnectCredentials checks that edge connect supports everything that kubectl supports in a
// kubeconfig: credential plugins, token files, certificates, impersonation, proxies and server
// names.
func TestConnectCredentials(t *testing.T) {
	s := sites[cluster.New]
	token := tokens["alice"]
	certificate, err := s.cluster.UserAccess(testbed.UsernamePrefix+"alice", testbed.GroupsPrefix+"dev")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &tunnelProxy{}
	proxyServer := httptest.NewServer(proxy)
	t.Cleanup(proxyServer.Close)
	for name, test := range map[string]struct {
		access cluster.Access
		change func(*testing.T, *clientcmdapi.Cluster, *clientcmdapi.AuthInfo)
		check  func(*testing.T)
	}{
		"exec plugin": {access: s.edge.Access(""), change: func(t *testing.T, _ *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) {
			user.Exec = plugin(t, token)
		}},
		"token file": {access: s.edge.Access(""), change: func(t *testing.T, _ *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) {
			user.TokenFile = filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(user.TokenFile, []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		"client certificate, no edge": {access: certificate},
		"impersonation, no edge": {access: s.cluster.AdminAccess(), change: func(_ *testing.T, _ *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) {
			user.Impersonate, user.ImpersonateGroups = testbed.UsernamePrefix+"alice", []string{testbed.GroupsPrefix + "dev"}
		}},
		"proxy": {access: s.edge.Access(token), change: func(_ *testing.T, cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.ProxyURL = proxyServer.URL
		}, check: func(t *testing.T) {
			if proxy.tunnels.Load() == 0 {
				t.Error("no connection used the proxy")
			}
		}},
		"server name": {access: s.edge.Access(token), change: func(_ *testing.T, cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.TLSServerName = "localhost"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			k, err := bed.Kubectl(connectVersion, changed(t, test.access, test.change)).ThroughConnect(ctx)
			if err != nil {
				t.Fatal(err)
			}
			r := k.RunInput(ctx, strings.NewReader("a line\n"), "exec", "-i", "shell", "--", "sh", "-c", "cat; exit 7")
			if err := want(r, 7, "a line\n"); err != nil {
				t.Error(err)
			}
			// The API server's error proves that the request was alice's: her group dev may not
			// list secrets, but an administrator may.
			if r = k.Run(ctx, "get", "secrets"); !strings.Contains(string(r.Stderr), `User "oidc:alice" cannot list resource "secrets"`) {
				t.Errorf("secrets: code %d, %s", r.Code, r.Stderr)
			}
			if test.check != nil {
				test.check(t)
			}
		})
	}
}

// changed writes a kubeconfig for the address and credential in the parameter access, after the
// function change has changed the kubeconfig's cluster and user. It returns the file's path.
func changed(t *testing.T, access cluster.Access, change func(*testing.T, *clientcmdapi.Cluster, *clientcmdapi.AuthInfo)) string {
	t.Helper()
	file, err := bed.Kubeconfig(access)
	if err != nil {
		t.Fatal(err)
	}
	if change == nil {
		return file
	}
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := config.Contexts[config.CurrentContext]
	change(t, config.Clusters[in.Cluster], config.AuthInfos[in.AuthInfo])
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// plugin returns the kubeconfig entry of a credential plugin, a program that prints this token.
func plugin(t *testing.T, token string) *clientcmdapi.ExecConfig {
	t.Helper()
	const credential = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q}}`
	file := filepath.Join(t.TempDir(), "credential.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, credential, token), 0o600); err != nil {
		t.Fatal(err)
	}
	return &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "cat", Args: []string{file}, InteractiveMode: clientcmdapi.IfAvailableExecInteractiveMode,
	}
}

// tunnelProxy is an HTTP proxy that supports only the method CONNECT, and only to loopback
// addresses.
type tunnelProxy struct{ tunnels atomic.Int32 }

func (p *tunnelProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil || !net.ParseIP(host).IsLoopback() {
		http.Error(w, "CONNECT to the loopback only", http.StatusForbidden)
		return
	}
	upstream, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	p.tunnels.Add(1)
	go func() {
		io.Copy(upstream, buffered)
		upstream.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(client, upstream)
}
