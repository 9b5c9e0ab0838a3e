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

// The tests about an API server's bad days share this file: a namespace in which the group dev may
// write, clients with their own connections, and phrases of edge's Status messages.

const badNamespace = "bad-days"

const badMaps = "/api/v1/namespaces/" + badNamespace + "/configmaps"

// Phrases in edge's Status for a request without a response from the API server. A client must
// learn which of the two cases it is.
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

// badDays returns the site for these tests after it has granted alice the right to write in
// badNamespace.
func badDays(t *testing.T) *site {
	t.Helper()
	if err := grantBadDays(); err != nil {
		t.Fatal(err)
	}
	return sites[cluster.New]
}

// hand is a client with its own connections, which it keeps open.
type hand struct {
	to        cluster.Access
	transport *http.Transport
	repeats   bool // the transport may resend a request with a body by itself, as most clients do
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

// overHTTP1 makes h use HTTP/1.1 only.
func (h *hand) overHTTP1() *hand {
	h.transport.Protocols = new(http.Protocols)
	h.transport.Protocols.SetHTTP1(true)
	return h
}

// reply is the response to a request, or the error instead of a response.
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

// says reports whether r is edge's own refusal with this code and this phrase in its message.
func (r reply) says(code int, what string) bool {
	s := r.status()
	return r.err == nil && r.code == code && s.Code == int32(code) && strings.HasPrefix(s.Message, "edge: ") && strings.Contains(s.Message, what)
}

// mostAnswer is the largest number of bytes that is read of a response's body.
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

// begin sends a request and returns the response before its body is read. header has lines of the
// form "Name: value".
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

// follow is a request with an endless response, such as a watch. It delivers the events and the
// reason for the end.
type follow struct {
	began chan error  // receives nil when the response's head has arrived, or the error instead
	lines chan string // events; closed at the end of the response
	err   error       // valid after lines is closed; io.EOF: the response ended normally
}

// mostLines is how many received events may be unread.
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

// next waits for the next event. It returns false if the response has ended; f.err is then the
// reason.
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

// object returns a ConfigMap as JSON, with spaces in front so that it has size bytes.
func object(name, data string, size int, resourceVersion string) []byte {
	m := map[string]any{"name": name, "labels": map[string]string{"bad": "day"}}
	if resourceVersion != "" {
		m["resourceVersion"] = resourceVersion
	}
	return padded(size, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": m, "data": map[string]string{"n": data}})
}

// padded returns JSON of at least size bytes. The API server ignores the spaces in front.
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

// stored is the part of a ConfigMap that the tests read.
type stored struct {
	Metadata metav1.ObjectMeta
	Data     struct{ N string }
}

func (r reply) stored() (s stored) {
	json.Unmarshal(r.body, &s) // on an error, s stays empty
	return s
}
