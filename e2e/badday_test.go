package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
)

// This file contains what the tests of an unreliable API server share: a namespace in which the
// group dev may write, clients with their own connections, and phrases from edge's Status messages.

const badNamespace = "bad-days"

const badMaps = "/api/v1/namespaces/" + badNamespace + "/configmaps"

// Phrases from the Status that edge sends if it received no response from the API server. The
// phrase must tell the client whether the API server may have done what the client requested.
const (
	maybeDone = "may have been done"
	notDone   = "nothing was done"
)

var grantBadDays = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := sites[cluster.New].cluster
	if err := c.EnsureNamespace(ctx, badNamespace); err != nil {
		return err
	}
	return grantGroup(ctx, c, badNamespace, "dev", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}},
	})
})

// badDays returns the site (a cluster with edge in front of it) for tests of an unreliable API
// server, after it has granted alice the right to write in badNamespace.
func badDays(t *testing.T) *site {
	t.Helper()
	if err := grantBadDays(); err != nil {
		t.Fatal(err)
	}
	return sites[cluster.New]
}

// hand is an HTTP client that keeps its connections open and shares them with no other client.
type hand struct {
	to        cluster.Access
	transport *http.Transport
	// true: the client's transport itself may send a request with a body a second time, as the
	// transports of most clients do
	repeats bool
}

func newHand(t *testing.T, to cluster.Access) *hand {
	t.Helper()
	config := &tls.Config{RootCAs: roots(to)}
	if to.Client.Cert != nil {
		pair, err := tls.X509KeyPair(to.Client.Cert, to.Client.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	h := &hand{to: to, transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true}}
	t.Cleanup(h.transport.CloseIdleConnections)
	return h
}

// overHTTP1 makes the client h use HTTP/1.1 only, and returns h.
func (h *hand) overHTTP1() *hand {
	h.transport.Protocols = new(http.Protocols)
	h.transport.Protocols.SetHTTP1(true)
	return h
}

// reply is a client's result of one request: the response, or the error instead of a response.
type reply struct {
	answer
	err  error
	took time.Duration
}

func (r reply) String() string {
	if r.err != nil {
		return fmt.Sprintf("%v after %v", r.err, r.took.Round(time.Millisecond))
	}
	return fmt.Sprintf("%v after %v", r.answer, r.took.Round(time.Millisecond))
}

// says reports whether r is a refusal by edge itself, with this status code, and whether its
// message contains the phrase in the parameter what.
func (r reply) says(code int, what string) bool {
	s := r.status()
	return r.err == nil && r.code == code && s.Code == int32(code) && strings.HasPrefix(s.Message, "edge: ") && strings.Contains(s.Message, what)
}

// mostAnswer is the largest number of bytes that the test's client reads of a response's body.
const mostAnswer = 4 << 20

func (h *hand) do(ctx context.Context, method, uri string, body []byte, header ...string) reply {
	start := time.Now()
	resp, err := h.begin(ctx, method, uri, body, header...)
	if err != nil {
		return reply{err: err, took: time.Since(start)}
	}
	defer resp.Body.Close()
	r := reply{answer: answer{code: resp.StatusCode, header: resp.Header}}
	r.body, r.err = io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	r.took = time.Since(start)
	return r
}

// begin sends a request and returns the response as soon as its header has arrived. The caller
// reads and closes the body. Each element of header has the form "Name: value".
func (h *hand) begin(ctx context.Context, method, uri string, body []byte, header ...string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.to.Server+uri, content)
	if err != nil {
		return nil, err
	}
	if !h.repeats {
		req.GetBody = nil
	}
	if h.to.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.to.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	return h.transport.RoundTrip(req)
}

// follow is a request with an endless response, such as a watch. The test receives the response's
// events, and the reason for its end.
type follow struct {
	// this channel receives nil when the response's header has arrived, or the error if no response
	// arrives
	began chan error
	lines chan string // the events of the response; closed when the response has ended
	// why the response ended; valid after the channel lines is closed; io.EOF: the response ended
	// normally
	err error
}

// mostLines is the number of events that a follow, a request with an endless response, stores until
// the test reads them.
const mostLines = 100

func (h *hand) follow(ctx context.Context, uri string) *follow {
	f := &follow{began: make(chan error, 1), lines: make(chan string, mostLines)}
	go func() {
		defer close(f.lines)
		resp, err := h.begin(ctx, http.MethodGet, uri, nil)
		if err == nil && resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			resp.Body.Close()
			err = fmt.Errorf("%s: %s", resp.Status, text)
		}
		if f.began <- err; err != nil {
			f.err = err
			return
		}
		defer resp.Body.Close()
		for events := json.NewDecoder(resp.Body); ; {
			var event json.RawMessage
			if f.err = events.Decode(&event); f.err != nil {
				return
			}
			f.lines <- string(event)
		}
	}()
	return f
}

// next waits for the next event of the response. It returns false if the response has ended; then
// f.err is the reason.
func (f *follow) next(ctx context.Context) (string, bool) {
	select {
	case line, ok := <-f.lines:
		return line, ok
	case <-ctx.Done():
		return "nothing until " + ctx.Err().Error(), true
	}
}

func watchOf(name string) string {
	return badMaps + "?watch=true&fieldSelector=metadata.name%3D" + name
}

// object returns a ConfigMap as JSON of at least size bytes. Spaces before the JSON fill it up to
// that size.
func object(name, data string, size int, resourceVersion string) []byte {
	m := map[string]any{"name": name, "labels": map[string]string{"bad": "day"}}
	if resourceVersion != "" {
		m["resourceVersion"] = resourceVersion
	}
	return padded(size, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": m, "data": map[string]string{"n": data}})
}

// padded returns the JSON of a value, with spaces in front so that the result has at least size
// bytes. The API server ignores the spaces.
func padded(size int, of any) []byte {
	b, err := json.Marshal(of)
	if err != nil {
		panic(err)
	}
	if n := size - len(b); n > 0 {
		b = append(bytes.Repeat([]byte(" "), n), b...)
	}
	return b
}

// stored contains the fields of a ConfigMap that the tests read.
type stored struct {
	Metadata metav1.ObjectMeta
	Data     struct{ N string }
}

func (r reply) stored() (s stored) {
	json.Unmarshal(r.body, &s) // if the body is not a ConfigMap, s stays empty
	return s
}
