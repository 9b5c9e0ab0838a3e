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

	"edge/internal/testkit"
)

// TestCertificateRotation checks that edge stops using a connection when the credential plugin
// returns another client certificate than the one that opened the connection.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "credential.json")
	var current atomic.Pointer[x509.Certificate]
	issue := func() {
		crt, key, err := cert.GenerateSelfSignedCertKey("user", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(crt)
		current.Store(must(x509.ParseCertificate(block.Bytes)))
		credential := clientauthentication.ExecCredential{
			TypeMeta: metav1.TypeMeta{APIVersion: "client.authentication.k8s.io/v1", Kind: "ExecCredential"},
			Status:   &clientauthentication.ExecCredentialStatus{ClientCertificateData: string(crt), ClientKeyData: string(key)},
		}
		if err := os.WriteFile(file, must(json.Marshal(credential)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	issue()
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := r.TLS.PeerCertificates; len(c) == 0 || !c[0].Equal(current.Load()) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	api.EnableHTTP2 = true
	api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	testkit.StartTLS(api)
	defer api.Close()
	upstream := configFor(api)
	upstream.ExecProvider = &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "cat", Args: []string{file},
		InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}
	w := &world{T: t, api: api, log: new(syncBuffer)}
	w.front(rest.CopyConfig(upstream))
	get := func() int {
		resp := must(w.client(t, true).Get(w.edge.URL + "/version"))
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := get(); code != http.StatusOK {
		t.Fatalf("the first certificate: %d", code)
	}
	issue()
	get() // the refusal of this request makes client-go run the credential plugin
	if code := get(); code != http.StatusOK {
		t.Errorf("the second certificate: %d", code)
	}
}
