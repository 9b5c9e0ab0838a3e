//go:build unix

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
	"edge/internal/testkit"
)

// BenchmarkRequest measures one GET through edge's handler, over TLS and HTTP/2 on both sides, in
// this process. It uses a token that edge has cached, and tokens that edge has not cached. For
// comparison it measures the same requests without authentication, with a fixed identity: the
// difference is the cost of authentication and impersonation. The tokens use RS256, as most issuers
// do.
func BenchmarkRequest(b *testing.B) {
	c := newCosts(b)
	known := impersonate.Identity{Name: "jane", Groups: []string{"dev", "ops", "eu"}}
	anybody := func(*http.Request) (impersonate.Identity, error) { return known, nil }
	// There are more tokens than edge caches, so that edge no longer has a token in its cache when
	// the benchmark sends that token again.
	tokens := make([]string, 1+rememberedTokens+tokensPerTurn)
	for n := range tokens {
		tokens[n] = c.token(n)
	}
	same, tokens := tokens[:1], tokens[1:]
	compareCosts(b, [][2]*asker{
		{c.asker("remembered", c.serve(c.gate.identify), same), c.asker("", c.serve(anybody), same)},
		{c.asker("new", c.serve(c.gate.identify), tokens), c.asker("", c.serve(anybody), tokens)}, // the server without authentication gets new tokens too: a header that changes takes CPU time
	})
}

const (
	rememberedTokens = 4096 // equals maxCachedTokens in authn
	tokensPerTurn    = 100  // requests in one turn, each with the next token
	// atOnce is the number of concurrent requests. With only one request at a time, idle threads of
	// Go's runtime search for work and go to sleep while a token is verified. Their CPU time would
	// count too: on two processors, it adds 50%.
	atOnce = 10
)

// asker sends the benchmark's requests to one server.
type asker struct {
	name   string
	tokens []string
	next   atomic.Int64
	url    string
	client *http.Client
}

func (a *asker) ask() error {
	req, err := http.NewRequest(http.MethodGet, a.url+"/api/v1/namespaces/default/pods/web", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.tokens[int(a.next.Add(1))%len(a.tokens)])
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// turn sends tokensPerTurn requests and returns the CPU time per request, in µs.
func (a *asker) turn(b *testing.B) float64 {
	var senders errgroup.Group
	before := cpuTime()
	for range atOnce {
		senders.Go(func() error {
			for range tokensPerTurn / atOnce {
				if err := a.ask(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := senders.Wait(); err != nil {
		b.Fatal(err)
	}
	return float64((cpuTime() - before).Nanoseconds()) / 1e3 / tokensPerTurn
}

// compareCosts lets the two askers (senders of requests) of each pair send their requests directly
// one after the other, so that other load on the machine affects both. It reports medians over b.N
// turns.
func compareCosts(b *testing.B, pairs [][2]*asker) {
	costs, more := make([][]float64, len(pairs)), make([][]float64, len(pairs))
	for _, pair := range pairs { // a first turn, not measured: it opens connections and fills pools
		pair[0].turn(b)
		pair[1].turn(b)
	}
	for b.Loop() {
		for i, pair := range pairs {
			cost, without := pair[0].turn(b), pair[1].turn(b)
			costs[i], more[i] = append(costs[i], cost), append(more[i], cost-without)
		}
	}
	b.ReportMetric(0, "ns/op") // not reported: b.N counts turns, not requests
	for i, pair := range pairs {
		b.ReportMetric(median(costs[i]), pair[0].name+"-us")
		b.ReportMetric(median(more[i]), pair[0].name+"-more-us")
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// costs has an issuer, an API server and edge's gate (authentication and impersonation), all in
// this process.
type costs struct {
	*testing.B
	issuer   *httptest.Server
	signer   jose.Signer
	upstream *rest.Config
	gate     *gate
}

func newCosts(b *testing.B) *costs {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	signing := jose.JSONWebKey{Key: key, KeyID: "one", Algorithm: "RS256"}
	c := &costs{B: b}
	if c.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: signing}, nil); err != nil {
		b.Fatal(err)
	}
	c.issuer = testkit.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var document any = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{signing.Public()}}
		if r.URL.Path != "/keys" {
			document = map[string]any{"issuer": c.issuer.URL, "jwks_uri": c.issuer.URL + "/keys"}
		}
		json.NewEncoder(w).Encode(document)
	}))
	b.Cleanup(c.issuer.Close)
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	api.EnableHTTP2 = true
	testkit.StartTLS(api)
	b.Cleanup(api.Close)
	c.upstream = &rest.Config{Host: api.URL, BearerToken: "of-edge", TLSClientConfig: rest.TLSClientConfig{CAData: testkit.PEM(api.Certificate())}}

	ca := filepath.Join(b.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, testkit.PEM(c.issuer.Certificate()), 0o600); err != nil {
		b.Fatal(err)
	}
	o := newOptions()
	o.identity.oidc.IssuerURL, o.identity.oidc.ClientID, o.identity.oidc.CAFile = c.issuer.URL, "edge", ca
	o.identity.oidc.GroupsClaim = "groups"
	if c.gate, err = newGate(&o.identity, nil, silent); err != nil {
		b.Fatal(err)
	}
	own, err := bridge.NewCredential(bridge.CredentialConfig{Upstream: c.upstream, Log: silent})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.gate.connect(&o.identity, own, c.upstream, nil, silent); err != nil {
		b.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { c.gate.run(b.Context()); close(stopped) }()
	b.Cleanup(func() { <-stopped })
	for end := time.Now().Add(bedPatience); c.gate.tokens.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal(c.gate.tokens.Ready())
		}
	}
	return c
}

// token returns the n-th token of the benchmark; each n has a different token.
func (c *costs) token(n int) string {
	payload := fmt.Sprintf(`{"iss":%q,"aud":"edge","exp":%d,"sub":"jane","groups":["dev","ops","eu"],"jti":"%d"}`, c.issuer.URL, time.Now().Add(time.Hour).Unix(), n)
	signed, err := c.signer.Sign([]byte(payload))
	if err != nil {
		c.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		c.Fatal(err)
	}
	return text
}

// serve starts a server with edge's handler.
func (c *costs) serve(identify func(*http.Request) (impersonate.Identity, error)) *httptest.Server {
	handler, err := bridge.New(bridge.Config{Upstream: c.upstream, Identify: identify, Review: mayAnything, Log: silent})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(handler.Close)
	edge := httptest.NewUnstartedServer(handler)
	edge.EnableHTTP2 = true
	testkit.StartTLS(edge)
	c.Cleanup(edge.Close)
	return edge
}

func (c *costs) asker(name string, edge *httptest.Server, tokens []string) *asker {
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: poolOf(edge)}}}
	c.Cleanup(client.CloseIdleConnections)
	return &asker{name: name, tokens: tokens, url: edge.URL, client: client}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func poolOf(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}
