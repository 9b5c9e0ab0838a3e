package bridge_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthentication "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"

	"edge/bridge"
	"edge/internal/testkit"
)

// certAPI is an API server that accepts one client certificate. It checks the certificate on each
// request, as a real API server does.
type certAPI struct {
	*httptest.Server
	accepts   atomic.Pointer[x509.Certificate]
	questions atomic.Int32
}

func newCertAPI(t *testing.T) *certAPI {
	a := new(certAPI)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == reviewPath {
			a.questions.Add(1)
		}
		switch c := r.TLS.PeerCertificates; {
		case len(c) == 0 || !c[0].Equal(a.accepts.Load()):
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/a-pod":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Query().Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	a.EnableHTTP2 = true
	a.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	testkit.StartTLS(a.Server)
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

// issue creates a new client certificate. From then on the API server accepts only this one.
func (a *certAPI) issue(t *testing.T) (crt, key []byte) {
	t.Helper()
	crt, key, err := cert.GenerateSelfSignedCertKey("user", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(crt)
	a.accepts.Store(must(x509.ParseCertificate(block.Bytes)))
	return crt, key
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file+".next", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".next", file); err != nil {
		t.Fatal(err)
	}
}

// TestOwnCertificateIsReadAgain checks that edge continues after its client certificate has expired
// on a connection that still carries a watch. edge must send new requests over a new connection,
// with the certificate that it reads now.
func TestOwnCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, renewed := range map[string]func(t *testing.T, api *certAPI, to *rest.Config) func(){
		"files": func(t *testing.T, api *certAPI, to *rest.Config) func() {
			to.CertFile, to.KeyFile = filepath.Join(t.TempDir(), "crt"), filepath.Join(t.TempDir(), "key")
			return func() {
				crt, key := api.issue(t)
				write(t, to.CertFile, crt)
				write(t, to.KeyFile, key)
			}
		},
		"a plugin": func(t *testing.T, api *certAPI, to *rest.Config) func() {
			file := filepath.Join(t.TempDir(), "credential.json")
			to.ExecProvider = &clientcmdapi.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "cat", Args: []string{file},
				InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
			}
			return func() {
				crt, key := api.issue(t)
				write(t, file, must(json.Marshal(clientauthentication.ExecCredential{
					TypeMeta: metav1.TypeMeta{APIVersion: "client.authentication.k8s.io/v1", Kind: "ExecCredential"},
					Status:   &clientauthentication.ExecCredentialStatus{ClientCertificateData: string(crt), ClientKeyData: string(key)},
				})))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newCertAPI(t)
			upstream := configFor(api.Server)
			renew := renewed(t, api, upstream)
			renew()
			own := must(bridge.NewCredential(bridge.CredentialConfig{Upstream: upstream}))
			w := &world{T: t, api: api.Server, log: new(syncBuffer)}
			w.front(nil, func(c *bridge.Config) { c.Credential = own })
			client := w.client(t, true)
			watch := must(client.Get(w.edge.URL + "/api/v1/pods?watch=true"))
			defer watch.Body.Close()
			get := func(path string) int {
				resp := must(client.Get(w.edge.URL + path))
				resp.Body.Close()
				return resp.StatusCode
			}
			if code := get("/api"); code != 200 {
				t.Fatal(code)
			}
			renew()
			w.eventually("the next certificate", func() bool { // client-go reads the certificate files again after one second
				code := get("/api")
				if code != 200 && code != 503 {
					t.Errorf("answered %d", code)
				}
				return code == 200
			})
			if code := get("/a-pod"); code != 401 || own.Ready() != nil {
				t.Errorf("a pod's 401 is %d, ready %v", code, own.Ready())
			}
			api.accepts.Store(nil)
			// Wait until edge refuses the requests. At first edge still uses its stored result of
			// an earlier check: that the API server accepts the certificate.
			w.eventually("the refusal of all", func() bool { return get("/api") == 503 })
			api.questions.Store(0)
			for range 10 {
				if code := get("/api"); code != 503 {
					t.Errorf("refused with %d", code)
				}
			}
			if n := api.questions.Load(); n > 3 {
				t.Errorf("%d questions about 10 requests", n)
			}
		})
	}
}

// TestPluginIsNotRunForOthers checks that a pod's 401 does not make edge run its credential plugin,
// which would delay all requests. A 401 that is about edge's own token must run the plugin once.
func TestPluginIsNotRunForOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runs, token := filepath.Join(dir, "runs"), filepath.Join(dir, "token")
	g := &guarded{behind: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a-pod" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}}
	upstream := func(s *httptest.Server) *rest.Config {
		cfg := configFor(s)
		cfg.ExecProvider = &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "sh",
			Args: []string{"-c", `echo run >>"$0"; printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat "$1")"`,
				runs, token},
			InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		}
		return cfg
	}
	count := func() int { return len(must(os.ReadFile(runs))) / len("run\n") }
	start := func(t *testing.T) (get func(path string) int) {
		own := must(bridge.NewCredential(bridge.CredentialConfig{Upstream: upstream(serveTLS(t, versioned{g}))}))
		w := &world{T: t, log: new(syncBuffer)}
		w.front(nil, func(c *bridge.Config) { c.Credential = own })
		client := w.client(t, true)
		return func(path string) int {
			resp := must(client.Get(w.edge.URL + path))
			resp.Body.Close()
			return resp.StatusCode
		}
	}
	set := func(to string) { write(t, token, []byte(to)); g.accepts.Store(to) }
	set("first")
	get := start(t)
	for range 5 {
		if code := get("/a-pod"); code != 401 {
			t.Errorf("a pod's 401 is %d", code)
		}
	}
	if n := count(); n != 1 {
		t.Errorf("%d runs", n)
	}
	get = start(t) // a new Handler has not checked edge's credential yet
	get("/api")
	before := count()
	set("second")
	if code := get("/api"); code != 200 {
		t.Errorf("with another token: %d", code)
	}
	if after := count(); after != before+1 {
		t.Errorf("%d runs, then %d", before, after)
	}
}
