package network

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// Recorder is an HTTP proxy between edge and a real API server. It records the head (method, URI
// and headers) of each request. It forwards bodies and upgraded connections unchanged, and supports
// HTTP/2.
type Recorder struct {
	URL    string
	CA     []byte // PEM certificate of the authority that signed the recorder's certificate
	CAFile string

	mu    sync.Mutex
	heads []Head
	// while this channel is not nil, the recorder forwards no access review or token review until
	// the channel is closed
	held chan struct{}

	// the contexts of the access reviews and token reviews in flight now, and their largest number
	// so far
	reviews     map[context.Context]struct{}
	mostReviews int
}

// Head is one recorded request: method, URI and headers. It contains the body only if the request
// is an access review or token review.
type Head struct {
	Proto  string // "HTTP/1.1" or "HTTP/2.0"
	Method string
	URI    string
	Host   string
	Header http.Header // all headers that edge sent, including hop-by-hop headers
	Review []byte      // body of the request, if the request is an access review or token review
}

// String describes the request without the credential in its Authorization header.
func (h Head) String() string {
	header := h.Header.Clone()
	header.Del("Authorization")
	return fmt.Sprintf("%s %s %s %v", h.Method, h.URI, h.Proto, header)
}

// readiness is the path that edge requests every few seconds to check whether the API server is
// ready. The recorder does not record these requests.
const readiness = "/livez"

// mostReview is the largest number of bytes that the recorder reads of the body of an access review
// or token review.
const mostReview = 256 << 10

// mostHeads is the largest number of requests that the recorder stores. A test with more requests
// calls Forget now and then.
const mostHeads = 10000

// StartRecorder starts a proxy that records requests, in front of the cluster's API server. The
// testbed stops the proxy.
func (n *Network) StartRecorder(ctx context.Context, cluster *cluster.Cluster) (*Recorder, error) {
	pair, err := n.CA.Issue("recorder")
	if err != nil {
		return nil, err
	}
	cert, err := pair.TLS()
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(cluster.URL)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	r := &Recorder{
		reviews: map[context.Context]struct{}{},
		URL:     "https://" + run.Loopback(port),
		CA:      n.CA.PEM,
		CAFile:  filepath.Join(n.Dir, fmt.Sprintf("recorder-%d.crt", port)),
	}
	if err := os.WriteFile(r.CAFile, r.CA, 0o644); err != nil {
		listener.Close()
		return nil, err
	}
	quiet := log.New(io.Discard, "", 0)
	plain := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport:     r.reviewing(newTransport(cluster.CA.Pool(), "h2", "http/1.1")),
		FlushInterval: -1,
		ErrorLog:      quiet,
	}
	upgrade := &httputil.ReverseProxy{
		Rewrite: plain.Rewrite,
		// the recorder uses only HTTP/1.1 to the API server, because HTTP/2 has no Upgrade header
		Transport: newTransport(cluster.CA.Pool(), "http/1.1"),
		ErrorLog:  quiet,
	}
	server := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		ErrorLog:  quiet,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !r.keep(req) {
				http.Error(w, "recorder: cannot read the body of a review request", http.StatusBadGateway)
				return
			}
			if req.Header.Get("Upgrade") != "" {
				upgrade.ServeHTTP(w, req)
			} else {
				plain.ServeHTTP(w, req)
			}
		}),
	}
	go server.ServeTLS(listener, "", "")
	n.OnClose(func() { server.Close() })
	return r, nil
}

func newTransport(roots *x509.CertPool, protocols ...string) *http.Transport {
	t := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true,
		Protocols:           new(http.Protocols),
	}
	for _, p := range protocols {
		switch p {
		case "h2":
			t.Protocols.SetHTTP2(true)
		case "http/1.1":
			t.Protocols.SetHTTP1(true)
		}
	}
	return t
}

// Access returns the address of the recorder, for EdgeOptions.Upstream.
func (r *Recorder) Access() cluster.Access { return cluster.Access{Server: r.URL, CA: r.CA} }

func (r *Recorder) keep(req *http.Request) bool {
	if req.URL.Path == readiness {
		return true
	}
	head := Head{Proto: req.Proto, Method: req.Method, URI: req.RequestURI, Host: req.Host, Header: req.Header.Clone()}
	if head.IsReview() {
		body, err := io.ReadAll(io.LimitReader(req.Body, mostReview))
		if err != nil {
			return false
		}
		req.Body, head.Review = io.NopCloser(bytes.NewReader(body)), body
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heads) < mostHeads {
		r.heads = append(r.heads, head)
	}
	return true
}

// HoldReviews makes the recorder hold back edge's access reviews and token reviews: it forwards
// none of them until release is called.
func (r *Recorder) HoldReviews() (release func()) {
	held := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = held
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.held == held {
			r.held = nil
			close(held)
		}
	}
}

// MostReviews returns the largest number of access reviews and token reviews that were in flight at
// the same time.
func (r *Recorder) MostReviews() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mostReviews
}

// reviewing returns a RoundTripper that counts the access reviews and token reviews in flight. It
// holds them back while HoldReviews requires that.
func (r *Recorder) reviewing(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if !isReview(req.URL.Path) {
			return next.RoundTrip(req)
		}
		ctx := req.Context()
		r.mu.Lock()
		// edge may have given a review up, and its goroutine here has not ended yet
		maps.DeleteFunc(r.reviews, func(ctx context.Context, _ struct{}) bool { return ctx.Err() != nil })
		r.reviews[ctx] = struct{}{}
		r.mostReviews = max(r.mostReviews, len(r.reviews))
		held := r.held
		r.mu.Unlock()
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		// decrease the number of reviews in flight before the response can reach edge, which may
		// then send the next review
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.reviews, ctx)
		}()
		return next.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// IsReview reports whether the request is an access review or a token review, which edge sends to
// check a user.
func (h Head) IsReview() bool { return isReview(h.URI) }

func isReview(uri string) bool {
	return strings.HasPrefix(uri, "/apis/authorization.k8s.io/") || strings.HasPrefix(uri, "/apis/authentication.k8s.io/")
}

// Heads returns the requests that the recorder has received since the last call of Forget, in the
// order of arrival, but at most mostHeads.
func (r *Recorder) Heads() []Head {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Head(nil), r.heads...)
}

// Forget removes all recorded requests.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads = nil
}
