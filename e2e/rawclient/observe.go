package rawclient

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Observation is everything that a client can observe of one session.
type Observation struct {
	// code, content type and body of a response other than 101; empty: the response was a 101
	Refusal     string
	Subprotocol string // the subprotocol that the server chose

	Stdout, Stderr Output
	// WebSocket: the channel of the first, empty message, with which the server reports the start
	// of the session; -1: no such message
	Start int
	Late  bool // true: the server sent output after the command's result

	Status *metav1.Status // the result of the command, in dialects v4 and later
	Text   string         // the result of the command, in dialects before v4; empty: success

	Conns []Conn // port-forward: what the client observed of each forwarded connection

	After string // what the test found in the pod after the session; empty: the test did not check

	// WebSocket: the server's close code, or 1006 if it sent none. SPDY: 0 if either side sent
	// GOAWAY, otherwise 1006
	Close  int
	Hung   bool   // true: the server did not close the connection within the client's time limit
	Breach string // the first violation of the protocol by the server; empty: none
}

// Conn is what the client observed of one forwarded connection.
type Conn struct {
	Output
	Error string // what the client received on the connection's error stream
	// true (only with SPDY): the server ended this connection but not the session; WebSocket cannot
	// express that
	Ended bool
}

// Output is what the client received on one stream.
type Output struct {
	Bytes  int64
	SHA256 string
	Head   string // the first bytes of the stream, at most mostHead
}

// mostHead is how many bytes of a stream's beginning the client stores.
const mostHead = 4096

// OK reports whether the result that the client received is a success.
func (o Observation) OK() bool {
	return o.Refusal == "" && (o.Status != nil && o.Status.Status == metav1.StatusSuccess || o.Status == nil && o.Text == "")
}

// String returns a description with one line per property. Tests compare observations by these
// strings.
func (o Observation) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	if o.Refusal != "" {
		line("refused", "%s", o.Refusal)
		return b.String()
	}
	line("subprotocol", "%s", o.Subprotocol)
	line("start", "%d", o.Start)
	if o.Conns == nil {
		line("stdout", "%s", o.Stdout)
		line("stderr", "%s", o.Stderr)
		status := "none"
		if o.Status != nil {
			raw, _ := json.Marshal(o.Status)
			status = normal(string(raw))
		}
		line("status", "%s", status)
		line("text", "%q", normal(o.Text))
		line("late", "%t", o.Late)
	}
	for i, c := range o.Conns {
		line(fmt.Sprintf("connection %d", i), "%s, ended %t, error %q", c.Output, c.Ended, normal(c.Error))
	}
	line("after", "%q", o.After)
	line("close", "%d", o.Close)
	line("hung", "%t", o.Hung)
	line("breach", "%q", o.Breach)
	return b.String()
}

func (o Output) String() string {
	if o.Bytes <= 1024 {
		return fmt.Sprintf("%d bytes %q", o.Bytes, o.Head)
	}
	return fmt.Sprintf("%d bytes, SHA-256 %s", o.Bytes, o.SHA256)
}

// execID and nearEnd match text that differs between equal sessions: the id that the container
// runtime gives to an exec, and the source address of a connection inside the pod.
var (
	execID  = regexp.MustCompile(`[0-9a-f]{64}`)
	nearEnd = regexp.MustCompile(`127\.0\.0\.1:[0-9]+->`)
)

func normal(text string) string {
	return nearEnd.ReplaceAllString(execID.ReplaceAllString(text, "<id>"), "<near>->")
}

// recorder collects what arrives on one stream. Callers can wait until a text or a number of bytes
// has arrived.
type recorder struct {
	mu    sync.Mutex
	bytes int64
	hash  hash.Hash
	head  []byte
	// closed when bytes arrive or the stream ends; a new channel then replaces it
	grown chan struct{}
	ended bool
}

func newRecorder() *recorder { return &recorder{hash: sha256.New(), grown: make(chan struct{})} }

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += int64(len(p))
	r.hash.Write(p)
	r.head = append(r.head, p[:min(len(p), mostHead-len(r.head))]...)
	r.wake()
	return len(p), nil
}

func (r *recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		r.wake()
	}
}

func (r *recorder) wake() {
	close(r.grown)
	r.grown = make(chan struct{})
}

func (r *recorder) output() Output {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Output{Bytes: r.bytes, SHA256: hex.EncodeToString(r.hash.Sum(nil)), Head: string(r.head)}
}

// wait waits until done returns true. It returns an error if the stream ends or the channel gaveUp
// is closed before that.
func (r *recorder) wait(gaveUp <-chan struct{}, done func(bytes int64, head []byte) bool) error {
	for {
		r.mu.Lock()
		ok, ended, grown := done(r.bytes, r.head), r.ended, r.grown
		head := slices.Clone(r.head)
		r.mu.Unlock()
		switch {
		case ok:
			return nil
		case ended:
			return fmt.Errorf("rawclient: the stream ended after %.200q", head)
		}
		select {
		case <-grown:
		case <-gaveUp:
			return fmt.Errorf("rawclient: the session was cancelled while waiting, after %.200q", head)
		}
	}
}

func (r *recorder) waitText(gaveUp <-chan struct{}, text string) error {
	return r.wait(gaveUp, func(_ int64, head []byte) bool { return bytes.Contains(head, []byte(text)) })
}

func (r *recorder) waitBytes(gaveUp <-chan struct{}, n int64) error {
	return r.wait(gaveUp, func(bytes int64, _ []byte) bool { return bytes >= n })
}
