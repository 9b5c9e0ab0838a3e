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

// Observation is all that a client can tell after a session.
type Observation struct {
	Refusal     string // the answer, if it was not 101: code, content type and body
	Subprotocol string // that was agreed on

	Stdout, Stderr Output
	Start          int  // WebSocket: the channel of the empty message that says "it has begun"; -1: none came
	Late           bool // output came after the outcome

	Status *metav1.Status // v4 and later: the outcome
	Text   string         // before v4: the outcome; nothing for success

	Conns []Conn // port-forward: each connection

	After string // what was found in the pod afterwards, if anybody looked

	Close  int    // WebSocket: the server's close code, 1006 without one. SPDY: 0 after GOAWAY from either side, 1006 without
	Hung   bool   // the server did not close the connection
	Breach string // what the server may not send
}

// Conn is what one forwarded connection came to.
type Conn struct {
	Output
	Error string // what the error stream said
	Ended bool   // the server ended it alone, which WebSocket cannot say
}

// Output is what one stream carried.
type Output struct {
	Bytes  int64
	SHA256 string
	Head   string // the first bytes, up to mostHead
}

// mostHead is what a recorded stream keeps, in bytes.
const mostHead = 4096

// OK says that the client learnt of a success.
func (o Observation) OK() bool {
	return o.Refusal == "" && (o.Status != nil && o.Status.Status == metav1.StatusSuccess || o.Status == nil && o.Text == "")
}

// String has a line for each thing that is not as in the plainest success; equal observations have equal strings.
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

// What differs between two runs of the same: the id of an exec, and the near end of a connection inside the pod.
var (
	execID  = regexp.MustCompile(`[0-9a-f]{64}`)
	nearEnd = regexp.MustCompile(`127\.0\.0\.1:[0-9]+->`)
)

func normal(text string) string {
	return nearEnd.ReplaceAllString(execID.ReplaceAllString(text, "<id>"), "<near>->")
}

// recorder is an Output in the making. Expect may wait for its text.
type recorder struct {
	mu    sync.Mutex
	bytes int64
	hash  hash.Hash
	head  []byte
	grown chan struct{} // closed and replaced when there is more, or an end
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

// wait returns once done says so, or with an error when the stream has ended, or gave up has.
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
			return fmt.Errorf("rawclient: gave up after %.200q", head)
		}
	}
}

func (r *recorder) waitText(gaveUp <-chan struct{}, text string) error {
	return r.wait(gaveUp, func(_ int64, head []byte) bool { return bytes.Contains(head, []byte(text)) })
}

func (r *recorder) waitBytes(gaveUp <-chan struct{}, n int64) error {
	return r.wait(gaveUp, func(bytes int64, _ []byte) bool { return bytes >= n })
}
