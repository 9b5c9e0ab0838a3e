package network

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
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

// Recorder is a proxy between edge and a real API server. It records the head of each request. It
// forwards bodies, upgraded connections and HTTP/2.
type Recorder struct {
	URL    string
	CA     []byte // PEM
	CAFile string

	mu    sync.Mutex
	heads []Head
	held  chan struct{} // closed when reviews may continue; nil: reviews are not held

	reviews, mostReviews int // reviews in flight now, and the maximum so far
}

// Head is a recorded request without its body, except for a review's body.
type Head struct {
	Proto  string // "HTTP/1.1" or "HTTP/2.0"
	Method string
	URI    string
	Host   string
	Header http.Header // all headers, also hop-by-hop ones
	Review []byte      // the body, if the request is an access review or token review
}

// String describes the request without its credential.
func (h Head) String() string {
	header := h.Header.Clone()
	header.Del("Authorization")
	return fmt.Sprintf("%s %s %s %v", h.Method, h.URI, h.Proto, header)
}

// readiness is the path that edge requests every few seconds for its readiness check. The recorder
// does not record it.
const readiness = "/livez"

// mostReview is the largest part of a review's body that is read, in bytes.
const mostReview = 256 << 10

// mostHeads limits the recorded heads. A test with more requests calls Forget in between.
const mostHeads = 10000

// StartRecorder starts a recorder in front of cluster's API server. The testbed stops it.
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
		URL:    "https://" + run.Loopback(port),
		CA:     n.CA.PEM,
		CAFile: filepath.Join(n.Dir, fmt.Sprintf("recorder-%d.crt", port)),
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
		Rewrite:   plain.Rewrite,
		Transport: newTransport(cluster.CA.Pool(), "http/1.1"), // HTTP/2 has no Upgrade header
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

// HoldReviews delays the reviews: the recorder forwards none of them until release is called.
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

// MostReviews returns the largest number of reviews that were in flight at one time.
func (r *Recorder) MostReviews() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mostReviews
}

// reviewing counts the reviews in flight and makes them wait while they are held.
func (r *Recorder) reviewing(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if !isReview(req.URL.Path) {
			return next.RoundTrip(req)
		}
		r.mu.Lock()
		r.reviews++
		r.mostReviews = max(r.mostReviews, r.reviews)
		held := r.held
		r.mu.Unlock()
		if held != nil {
			select {
			case <-held:
			case <-req.Context().Done():
			}
		}
		defer func() { // before the response is forwarded
			r.mu.Lock()
			defer r.mu.Unlock()
			r.reviews--
		}()
		return next.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// IsReview reports whether the request is one of edge's access reviews or token reviews.
func (h Head) IsReview() bool { return isReview(h.URI) }

func isReview(uri string) bool {
	return strings.HasPrefix(uri, "/apis/authorization.k8s.io/") || strings.HasPrefix(uri, "/apis/authentication.k8s.io/")
}

// Heads returns the requests since the last Forget, in order of arrival, but at most mostHeads.
func (r *Recorder) Heads() []Head {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Head(nil), r.heads...)
}

// Forget removes all recorded heads.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads = nil
}
