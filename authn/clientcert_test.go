package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/testkit"
)

// write writes the certificates of certificate authorities to a file.
func write(t testing.TB, file string, authorities ...*testkit.Authority) {
	t.Helper()
	var certificates []*x509.Certificate
	for _, a := range authorities {
		certificates = append(certificates, a.Cert)
	}
	writeFile(t, file, testkit.PEM(certificates...))
}

// startClientCA runs a ClientCA with these authorities until the test ends.
func startClientCA(t testing.TB, authorities ...*testkit.Authority) (ca *ClientCA, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "clients.pem")
	write(t, file, authorities...)
	ca, err := NewClientCA(file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); ca.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return ca, file
}

// serveTLS starts a server that speaks HTTP/1.1 and HTTP/2 and requests a client certificate, as
// edge does.
func serveTLS(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, placeKey{}, new(atomic.Value))
	}
	s.EnableHTTP2 = true
	testkit.StartTLS(s)
	t.Cleanup(s.Close)
	return s
}

// clientOf returns an HTTP client that sends the certificate. It sends the certificate even if the
// TLS handshake of the server does not name the authority that signed it. If certificate is nil,
// the client sends none.
func clientOf(t testing.TB, s *httptest.Server, certificate *tls.Certificate, http2 bool) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2)
	if certificate != nil {
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return certificate, nil
		}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask makes a request, and returns its status code and whether the request reused an open
// connection.
func ask(t testing.TB, client *http.Client, url string) (code int, reused bool) {
	t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode, reused
}

// TestCertificateExpiresOnOpenConnection checks requests on an open connection, with and without
// stored verdicts on the client certificate. The requests are refused when the certificate expires
// or its authority is removed from the CA file, and accepted when the authority is in the file
// again.
func TestCertificateExpiresOnOpenConnection(t *testing.T) {
	for _, remembered := range []bool{false, true} {
		t.Run(fmt.Sprintf("remembered=%v", remembered), func(t *testing.T) {
			t.Parallel()
			testCertificateExpires(t, remembered)
		})
	}
}

// placeKey is the key of a value in a request's context. The value is the place where edge stores
// the verdict on the client certificate of the request's connection.
type placeKey struct{}

func placeOf(r *http.Request) *atomic.Value {
	place, _ := r.Context().Value(placeKey{}).(*atomic.Value)
	return place
}

func testCertificateExpires(t *testing.T, remembered bool) {
	ours, others := testkit.NewAuthority(t, "ours"), testkit.NewAuthority(t, "others")
	ca, file := startClientCA(t, ours)
	if remembered {
		ca.CachePerConnection(placeOf)
	}
	chain := NewChain(ChainOptions{Tokens: knownTokens{}, ClientCA: ca})
	server := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := chain.Authenticate(r); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	const brief = 5 * time.Second // lifetime of jim's certificate: long enough for the first request of each client
	long := ours.Client(t, pkix.Name{CommonName: "jane"})
	short := ours.Client(t, pkix.Name{CommonName: "jim"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(brief) })
	var janes, jims []*http.Client
	for _, http2 := range []bool{false, true} {
		janes = append(janes, clientOf(t, server, long, http2))
		jims = append(jims, clientOf(t, server, short, http2))
	}
	for _, client := range slices.Concat(jims, janes) {
		if code, _ := ask(t, client, server.URL); code != http.StatusOK {
			t.Fatalf("at first: %d", code)
		}
	}
	until := func(what string, clients []*http.Client, want int) {
		for _, client := range clients {
			testkit.WaitFor(t, what, func() bool {
				code, reused := ask(t, client, server.URL)
				if !reused {
					t.Errorf("%s: another connection", what)
				}
				return code == want
			})
		}
	}
	write(t, file, others)
	until("another authority", janes, http.StatusUnauthorized)
	write(t, file, others, ours)
	until("both authorities", janes, http.StatusOK)
	until("expiry", jims, http.StatusUnauthorized)
	until("no expiry", janes, http.StatusOK)
}

// TestClientCAKeepsTheLastGoodFile checks that the authorities of the last usable CA file stay in
// use when the file becomes unusable.
func TestClientCAKeepsTheLastGoodFile(t *testing.T) {
	ours := testkit.NewAuthority(t, "ours")
	ca, file := startClientCA(t, ours)
	before := string(ca.Content().CurrentCABundleContent())
	for _, bad := range []string{"", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		writeFile(t, file, []byte(bad))
		if err := ca.content.RunOnce(t.Context()); err == nil {
			t.Errorf("%q is taken", bad)
		}
		if string(ca.Content().CurrentCABundleContent()) != before {
			t.Errorf("%q leaves other authorities", bad)
		}
	}
}

func TestNewClientCARefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	writeFile(t, garbage, []byte("no such thing"))
	for _, file := range []string{"", dir, filepath.Join(dir, "missing"), garbage} {
		if ca, err := NewClientCA(file); ca != nil || err == nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestCertificateFaults checks that a refusal describes the fault of a certificate in edge's own
// words, and repeats no text of the certificate.
func TestCertificateFaults(t *testing.T) {
	const forged = "\r\nlevel=INFO user=admin"
	ours, strange := testkit.NewAuthority(t, "ours"), testkit.NewAuthority(t, forged)
	ca, _ := startClientCA(t, ours)
	chain := NewChain(ChainOptions{Tokens: knownTokens{}, ClientCA: ca})
	subject := pkix.Name{CommonName: forged}
	for want, certificate := range map[string]*tls.Certificate{
		"no authority of --client-ca-file":   strange.Client(t, subject),
		"is expired, or not valid yet":       ours.Client(t, subject, expired),
		"is not meant for clients":           ours.Client(t, subject, forServers),
		"cannot be verified, or its subject": ours.Client(t, withUIDs(subject, "1", forged)),
	} {
		var got error
		server := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) { _, got = chain.Authenticate(r) })
		ask(t, clientOf(t, server, certificate, false), server.URL)
		wrong, ok := got.(*RefusedError)
		if !ok || wrong.Reason != ReasonCertificate || !strings.Contains(wrong.Detail, want) || strings.Contains(wrong.Detail, "admin") {
			t.Errorf("%s: %v", want, got)
		}
	}
}

// TestCertificateExpires checks that the Result of a client certificate expires when the first of
// the chain's certificates expires, the leaf or an authority.
func TestCertificateExpires(t *testing.T) {
	root := testkit.NewAuthority(t, "root")
	brief := root.Under(t, "brief", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) })
	ca, _ := startClientCA(t, root)
	chain := NewChain(ChainOptions{Tokens: knownTokens{}, ClientCA: ca})
	for name, certificate := range map[string]*tls.Certificate{
		"root":  root.Client(t, pkix.Name{CommonName: "jane"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Second * 30) }),
		"brief": brief.Client(t, pkix.Name{CommonName: "jane"}),
	} {
		var got Result
		var err error
		server := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) { got, err = chain.Authenticate(r) })
		ask(t, clientOf(t, server, certificate, false), server.URL)
		want := testkit.Parse(t, certificate.Certificate[0]).NotAfter
		if name == "brief" {
			want = brief.Cert.NotAfter
		}
		if err != nil || !got.Expires.Equal(want) || got.Token != "" || got.Reviewed {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, want)
		}
	}
}
