//go:build unix

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
)

// BenchmarkRequest is one GET through edge's handler over TLS and HTTP/2 on both
// sides, in this process, by a token that edge remembers and by one that it never
// saw, and beside each the same requests by somebody who is known without being
// asked: what they differ by in cpu-us/op is what authentication and impersonation
// cost. RS256, as most issuers.
func BenchmarkRequest(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	signing := jose.JSONWebKey{Key: key, KeyID: "one", Algorithm: "RS256"}
	var issuer *httptest.Server
	issuer = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var document any = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{signing.Public()}}
		if r.URL.Path != "/keys" {
			document = map[string]any{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/keys"}
		}
		json.NewEncoder(w).Encode(document)
	}))
	defer issuer.Close()
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	api.EnableHTTP2 = true
	api.StartTLS()
	defer api.Close()

	ca := filepath.Join(b.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, certificatePEM(issuer.Certificate()), 0o600); err != nil {
		b.Fatal(err)
	}
	o := newOptions()
	o.identity.oidc.IssuerURL, o.identity.oidc.ClientID, o.identity.oidc.CAFile = issuer.URL, "edge", ca
	o.identity.oidc.GroupsClaim = "groups"
	upstream := &rest.Config{Host: api.URL, BearerToken: "of-edge", TLSClientConfig: rest.TLSClientConfig{CAData: certificatePEM(api.Certificate())}}
	gate, err := newGate(&o.identity, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	if err := gate.connect(&o.identity, upstream, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { gate.run(b.Context()); close(stopped) }()
	b.Cleanup(func() { <-stopped })
	for end := time.Now().Add(bedPatience); gate.tokens.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal(gate.tokens.Ready())
		}
	}

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: signing}, nil)
	if err != nil {
		b.Fatal(err)
	}
	token := func(n int) string {
		payload := fmt.Sprintf(`{"iss":%q,"aud":"edge","exp":%d,"sub":"jane","groups":["dev","ops","eu"],"jti":"%d"}`, issuer.URL, time.Now().Add(time.Hour).Unix(), n)
		signed, err := signer.Sign([]byte(payload))
		if err != nil {
			b.Fatal(err)
		}
		text, _ := signed.CompactSerialize()
		return text
	}
	known := impersonate.Identity{Name: "jane", Groups: []string{"dev", "ops", "eu"}}
	anybody := func(*http.Request) (impersonate.Identity, error) { return known, nil }
	same := token(0)
	for _, way := range []struct {
		name     string
		identify func(*http.Request) (impersonate.Identity, error)
		token    func(n int) string
	}{
		{"remembered", gate.identify, func(int) string { return same }},
		{"remembered/without", anybody, func(int) string { return same }},
		{"new", gate.identify, token},
		{"new/without", anybody, token}, // a header that changes costs HTTP/2 something, too
	} {
		b.Run(way.name, func(b *testing.B) {
			handler, err := bridge.New(bridge.Config{Upstream: upstream, Identify: way.identify, Review: mayAnything, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer handler.Close()
			edge := httptest.NewUnstartedServer(handler)
			edge.EnableHTTP2 = true
			edge.StartTLS()
			defer edge.Close()
			client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: poolOf(edge)}}}
			defer client.CloseIdleConnections()
			credentials := make([]string, b.N+1)
			for n := range credentials { // signed before the clock runs
				credentials[n] = "Bearer " + way.token(n)
			}
			ask := func(n int) {
				req, _ := http.NewRequest(http.MethodGet, edge.URL+"/api/v1/namespaces/default/pods/web", nil)
				req.Header.Set("Authorization", credentials[n])
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
			ask(b.N)
			before := cpuTime()
			b.ResetTimer()
			for n := range b.N {
				ask(n)
			}
			b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/1e3/float64(b.N), "cpu-us/op")
		})
	}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func poolOf(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}
