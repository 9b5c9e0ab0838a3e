package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes/scheme"

	"edge/internal/testkit"
)

// bedPatience is the timeout of each wait for a process in these tests.
const bedPatience = 30 * time.Second

// bed is a test bed with what edge serve needs: an issuer, and a fake API server that records
// requests and allows everything. The tests in e2e use a real API server.
type bed struct {
	testing.TB
	dir    string
	issuer *httptest.Server
	key    jose.JSONWebKey
	api    *httptest.Server

	mu     sync.Mutex
	seen   []*http.Request
	bodies []string
	answer http.HandlerFunc // the API server's handler; nil: answer 200 with "{}"
	change func(*instance)  // called before edge starts; nil: no call
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{TB: t, dir: t.TempDir()}
	// edge generates an RSA key if its folder has none, which with -race needs seconds of CPU
	crt, key := testkit.ServerPair()
	b.file("edge.crt", string(crt))
	b.file("edge.key", string(key))
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b.key = jose.JSONWebKey{Key: private, KeyID: "one", Algorithm: "ES256"}
	b.issuer = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var document any = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{b.key.Public()}}
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			document = map[string]any{"issuer": b.issuer.URL, "jwks_uri": b.issuer.URL + "/keys"}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(document)
	}))
	b.issuer.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	testkit.StartTLS(b.issuer)
	t.Cleanup(b.issuer.Close)
	b.api = httptest.NewUnstartedServer(http.HandlerFunc(b.serveAPI))
	b.api.EnableHTTP2 = true
	b.api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	b.api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	testkit.StartTLS(b.api)
	t.Cleanup(b.api.Close)
	return b
}

func (b *bed) serveAPI(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if r.URL.Path == "/livez" {
		return
	}
	b.mu.Lock()
	b.seen, b.bodies = append(b.seen, r), append(b.bodies, asJSON(body))
	answer := b.answer
	b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if answer != nil {
		answer(w, r)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
		fmt.Fprint(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`)
	case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
		var review struct {
			Spec struct{ Audiences []string }
		}
		json.Unmarshal([]byte(asJSON(body)), &review)
		audiences, _ := json.Marshal(review.Spec.Audiences)
		fmt.Fprintf(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"audiences":%s,"user":{"username":"system:serviceaccount:a:b"}}}`, audiences)
	case strings.HasSuffix(r.URL.Path, "/token"):
		fmt.Fprintf(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","status":{"token":"requested","expirationTimestamp":%q}}`, time.Now().Add(time.Hour).Format(time.RFC3339))
	default:
		fmt.Fprint(w, "{}")
	}
}

// asJSON returns the API object in body as JSON: client-go sends API objects as protobuf.
func asJSON(body []byte) string {
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return string(body)
	}
	text, _ := json.Marshal(object)
	return string(text)
}

// requests returns the requests that the API server received on a path, and their bodies.
func (b *bed) requests(path string) (seen []*http.Request, bodies []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range b.seen {
		if r.URL.Path == path {
			seen, bodies = append(seen, r), append(bodies, b.bodies[i])
		}
	}
	return seen, bodies
}

// file writes a file into the test's folder and returns its path.
func (b *bed) file(name, text string) string {
	name = filepath.Join(b.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// authority writes a server's certificate to a file and returns its path.
func (b *bed) authority(name string, s *httptest.Server) string {
	return b.file(name, string(testkit.PEM(s.Certificate())))
}

// token returns a valid token for jane, in which the parameter claims replaces or adds claims.
func (b *bed) token(claims map[string]any) string {
	b.Helper()
	all := map[string]any{
		"iss": b.issuer.URL, "aud": "edge", "exp": time.Now().Add(time.Hour).Unix(), "sub": "jane",
		"name": "Jane", "groups": []string{"dev"}, "email": "j@x.example",
	}
	maps.Copy(all, claims)
	payload, _ := json.Marshal(all)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: b.key}, nil)
	if err != nil {
		b.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		b.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		b.Fatal(err)
	}
	return token
}

// assembled runs the components of an edge serve with the flags for the test bed, followed by the
// flags in the parameter more, in this process and without listeners, until the test ends. It waits
// until edge is ready.
func (b *bed) assembled(more ...string) *parts {
	b.Helper()
	o := newOptions()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range o.flagSets().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(slices.Concat(b.oidc(), b.upstream(), []string{"--cert-dir=" + b.dir}, more)); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p, err := assemble(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	b.Cleanup(func() { cancel(); <-done; p.handler.Close(); p.credential.Close() })
	for end := time.Now().Add(bedPatience); p.ready() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal(p.ready())
		}
	}
	return p
}

// instance is a running edge serve.
type instance struct {
	*bed
	url, probe string
	cmd        *exec.Cmd
	log        *testkit.Buffer
}

// oidc returns the flags that make edge use the test bed's issuer.
func (b *bed) oidc() []string {
	return []string{"--oidc-issuer-url=" + b.issuer.URL, "--oidc-client-id=edge", "--oidc-signing-algs=ES256",
		"--oidc-ca-file=" + b.authority("issuer.crt", b.issuer), "--oidc-username-prefix=-", "--oidc-groups-claim=groups"}
}

// upstream returns the flags that make edge use the test bed's API server.
func (b *bed) upstream() []string {
	return []string{"--server=" + b.api.URL, "--certificate-authority=" + b.authority("api.crt", b.api), "--token=of-edge"}
}

// serve starts edge with the flags for the test bed, followed by the flags in the parameter more,
// which override them. It waits until edge is ready.
func (b *bed) serve(more ...string) *instance {
	b.Helper()
	return b.serveOnly(append(append(b.oidc(), b.upstream()...), more...)...)
}

// serveOnly starts edge with the given flags, and with flags for its listeners before them. It
// waits until edge is ready.
func (b *bed) serveOnly(flags ...string) *instance {
	b.Helper()
	e := b.start(flags...)
	e.wait("ready", func() bool {
		resp, err := http.Get(e.probe + "/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return e
}

// start starts edge and does not wait until edge is ready.
func (b *bed) start(flags ...string) *instance {
	b.Helper()
	secure, probe := freePort(b), freePort(b)
	args := append([]string{"serve", "--bind-address=127.0.0.1", "--secure-port=" + secure, "--readiness-probe-port=" + probe,
		"--cert-dir=" + b.dir}, flags...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	e := &instance{bed: b, url: "https://127.0.0.1:" + secure, probe: "http://127.0.0.1:" + probe, cmd: edgeCommand(ctx, args...), log: new(testkit.Buffer)}
	e.cmd.Stderr = e.log
	for _, flag := range flags {
		if host, ok := strings.CutPrefix(flag, "--bind-address="); ok {
			e.probe = strings.Replace(e.probe, "127.0.0.1", host, 1)
		}
	}
	if b.change != nil {
		b.change(e)
	}
	if err := e.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		e.stop()
		cancel()
	})
	return e
}

// stop ends edge with SIGTERM, as Kubernetes does.
func (e *instance) stop() {
	if e.cmd.ProcessState == nil {
		e.cmd.Process.Signal(syscall.SIGTERM)
		e.cmd.Wait()
	}
}

func (e *instance) wait(what string, ok func() bool) {
	e.Helper()
	for end := time.Now().Add(bedPatience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			e.Fatalf("%s: not in %v\n%s", what, bedPatience, e.log)
		}
	}
}

// ask sends a GET with a token (none if token is empty), and with header lines in pairs of name and
// value.
func (e *instance) ask(token, path string, header ...string) (*http.Response, string) {
	e.Helper()
	req, err := http.NewRequest(http.MethodGet, e.url+path, nil)
	if err != nil {
		e.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return e.do(req)
}

// do sends a request to edge and returns the response and its body.
func (e *instance) do(req *http.Request) (*http.Response, string) {
	e.Helper()
	resp, err := insecureClient.Do(req)
	if err != nil {
		e.Fatalf("%v\n%s", err, e.log)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

// upstreamOf sends a GET to edge with the method ask, and returns the header that the API server
// received.
func (e *instance) upstreamOf(token, path string, header ...string) http.Header {
	e.Helper()
	resp, body := e.ask(token, path, header...)
	seen, _ := e.requests(path)
	if resp.StatusCode != http.StatusOK || len(seen) == 0 {
		e.Fatalf("%s: %s %s\n%s", path, resp.Status, body, e.log)
	}
	return seen[len(seen)-1].Header
}

// certificate returns the certificate that edge presents in a handshake with cfg.
func (e *instance) certificate(cfg *tls.Config) (*x509.Certificate, error) {
	cfg.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// clientCertificate creates a certificate authority and a client certificate that it signed. It
// returns the path of a file with the authority's certificate, and the client certificate.
func (b *bed) clientCertificate(name string, groups ...string) (caFile string, pair tls.Certificate) {
	b.Helper()
	ca := testkit.NewAuthority(b, "clients")
	return b.file("clients.crt", string(testkit.PEM(ca.Cert))), *ca.Client(b, pkix.Name{CommonName: name, Organization: groups})
}
