package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

const (
	goawayWorkers = 20
	// size in bytes of the largest body of an ordinary write, which edge can keep and send again
	goawayBody = 300_000
	// size in bytes above which edge does not keep a body in order to send it again
	longBody = 1 << 20
	// size in bytes of the largest body in this test; it is below the API server's limit
	longestBody = 2 << 20
	longWrites  = 400
	goawayTime  = 10 * time.Minute
)

// TestGoaway checks writes (POST, PUT, PATCH and DELETE) through edge while the API server sends
// GOAWAY at random, as it does to distribute its clients over its replicas. Other clients send the
// same writes directly to the API server. A kind of failure may occur through edge only if it also
// occurs in the direct writes, and the API server may execute no write twice.
func TestGoaway(t *testing.T) {
	t.Parallel()
	s := badDays(t)
	heavy <- struct{}{}
	defer func() { <-heavy }()
	ctx, cancel := context.WithTimeout(t.Context(), goawayTime)
	defer cancel()
	server := startReplica(t, s.cluster, "--goaway-chance=0.02")
	upstream := server.Access
	relay, err := bed.StartSilentRelay(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Upstream: relay.Through(upstream)})
	own := s.ownAccess(t, "alice", "dev")
	own.Server = upstream.Server

	start := time.Now()
	before := relay.Accepted()
	through, beside := newWriters(t, "edge", edge.Access(tokens["alice"])), newWriters(t, "own", own)
	beside.repeats = true // a client without edge must itself send a request again after a GOAWAY
	var both sync.WaitGroup
	both.Go(func() { through.run(ctx, goawayWrites/writesOfCycle) })
	both.Go(func() { beside.run(ctx, goawayWrites/writesOfCycle) })
	both.Wait()
	t.Logf("%d writes each in %.0f s: through edge, over %d connections, %v; at the API server itself %v", goawayWrites,
		time.Since(start).Seconds(), relay.Accepted()-before, through, beside)
	if n := through.done.Load(); n != goawayWrites && len(through.failed.kinds()) == 0 {
		t.Errorf("%d of %d writes", n, goawayWrites)
	}
	through.failed.report(t, &beside.failed)
	through.checkOnce(s.cluster)

	// edge does not keep a body longer than longBody, so it cannot send such a write again. The
	// write may fail if edge tells the client that nothing was done, and if that is true.
	told := &told{}
	long := newWriters(t, "long", through.to)
	long.least, long.most, long.excuse = longBody, longestBody, told.excuse(s)
	long.run(ctx, longWrites/writesOfCycle)
	t.Logf("%d writes with long bodies: %v; %v", longWrites, long, told)
	long.failed.report(t, nil)
	long.checkOnce(s.cluster)
}

// writers are clients that each create, change and delete ConfigMaps one after the other, over a
// connection of their own.
type writers struct {
	t       *testing.T
	label   string
	to      cluster.Access
	repeats bool // the clients may themselves send a request again; see hand.repeats

	least, most int // smallest and largest size of a request's body, in bytes

	pause time.Duration // each client waits this long before each ConfigMap

	// excuse decides whether a write may fail with this reply. It returns nil if so, otherwise an
	// error that describes what is wrong. A nil excuse allows no write to fail.
	excuse func(context.Context, *writers, write, reply) error

	done   atomic.Int64 // number of writes that succeeded
	failed faults
}

var labels atomic.Int64 // counter that makes the label of each call of newWriters unique

// newWriters returns writers (clients that create, change and delete ConfigMaps). The names of
// their ConfigMaps begin with label and are unique in this run.
func newWriters(t *testing.T, label string, to cluster.Access) *writers {
	label = fmt.Sprintf("%s-%d", label, labels.Add(1))
	return &writers{t: t, label: label, to: to, most: goawayBody}
}

// writesOfCycle is the number of writes of one ConfigMap's life: POST, PUT, PATCH and DELETE.
const writesOfCycle = 4

// run creates, changes and deletes ConfigMaps; the parameter cycles is their number. goawayWorkers
// clients do this at the same time.
func (w *writers) run(ctx context.Context, cycles int) {
	var next atomic.Int64
	w.work(func(h *hand) {
		for n := next.Add(1); n <= int64(cycles) && ctx.Err() == nil; n = next.Add(1) {
			pause(ctx, w.pause)
			w.cycle(ctx, h, int(n))
		}
	})
}

func (w *writers) work(worker func(*hand)) {
	var workers sync.WaitGroup
	for range goawayWorkers {
		h := newHand(w.t, w.to)
		h.repeats = w.repeats
		workers.Go(func() { worker(h) })
	}
	workers.Wait()
}

// write is one POST, PUT, PATCH or DELETE of a ConfigMap. Its condition (the name, the
// resourceVersion, or a test in the patch) holds only once. If the API server receives the write
// twice, it refuses the second one with 404, 409 or 422.
type write struct {
	method, uri string
	body        []byte
	header      []string
	code        int // status code with which the write succeeds

	name string
	from string // the number in the ConfigMap's data before the write; PUT and PATCH add 1 to it
}

// cycle sends the writes of one ConfigMap's life: it creates the ConfigMap, changes it twice and
// deletes it.
func (w *writers) cycle(ctx context.Context, h *hand, n int) {
	name := fmt.Sprintf("%s-%d", w.label, n)
	// 7919 is prime, so consecutive ConfigMaps have very different sizes
	size := w.least + n*7919%(w.most-w.least)
	var header []string
	if n%2 == 0 {
		header = []string{"Idempotency-Key: " + name}
	}
	made, ok := w.write(ctx, h, write{
		method: http.MethodPost, uri: badMaps, name: name, header: header, code: http.StatusCreated, body: object(name, "0", size, ""),
	})
	if !ok {
		return
	}
	_, ok = w.write(ctx, h, write{
		method: http.MethodPut, uri: badMaps + "/" + name, name: name, from: "0", header: header, code: http.StatusOK,
		body: object(name, "1", w.least+w.most-size, made.Metadata.ResourceVersion),
	})
	if !ok {
		return
	}
	patch := []map[string]string{{"op": "test", "path": "/data/n", "value": "1"}, {"op": "replace", "path": "/data/n", "value": "2"}}
	changed, ok := w.write(ctx, h, write{
		method: http.MethodPatch, uri: badMaps + "/" + name, name: name, from: "1", code: http.StatusOK, body: padded(size, patch),
		header: append([]string{"Content-Type: application/json-patch+json"}, header...),
	})
	if !ok {
		return
	}
	last := write{method: http.MethodDelete, uri: badMaps + "/" + name, name: name, from: "2", code: http.StatusOK}
	if n%3 > 0 { // every third DELETE has no body
		last.body = padded(size, metav1.DeleteOptions{Preconditions: metav1.NewRVDeletionPrecondition(changed.Metadata.ResourceVersion).Preconditions})
	}
	w.write(ctx, h, last)
}

// write sends one POST, PUT, PATCH or DELETE of a ConfigMap. It returns the ConfigMap in the
// response, and false if the remaining writes of this ConfigMap cannot succeed.
func (w *writers) write(ctx context.Context, h *hand, one write) (stored, bool) {
	r := h.do(ctx, one.method, one.uri, one.body, one.header...)
	if r.err == nil && r.code == one.code {
		w.done.Add(1)
		return r.stored(), true
	}
	if ctx.Err() != nil {
		return stored{}, false
	}
	kind := "an error"
	if r.err == nil {
		kind = fmt.Sprint(r.code)
	}
	if w.excuse != nil {
		err := w.excuse(ctx, w, one, r)
		if err == nil {
			return stored{}, false
		}
		kind = err.Error()
	}
	w.failed.add(one.method+": "+kind, fmt.Sprintf("%s: %v", one.name, r))
	return stored{}, false
}

func (w *writers) String() string { return fmt.Sprintf("%d done, %v", w.done.Load(), &w.failed) }

// checkOnce checks the API servers' audit logs: no write of these writers may have arrived twice.
func (w *writers) checkOnce(c *cluster.Cluster) {
	w.t.Helper()
	twice := map[string]int{}
	_, err := c.Audit(func(e cluster.AuditEvent) bool {
		if e.ObjectRef == nil || e.ObjectRef.Namespace != badNamespace || e.Stage != "ResponseComplete" ||
			!strings.HasPrefix(e.ObjectRef.Name, w.label+"-") || e.Verb == "get" || e.Verb == "watch" || e.Verb == "list" {
			return false
		}
		twice[e.Verb+" "+e.ObjectRef.Name]++
		return false
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(twice) == 0 {
		w.t.Error("the audit logs contain no write")
	}
	for write, n := range twice {
		if n > 1 {
			w.t.Errorf("%s arrived %d times", write, n)
		}
	}
	w.t.Logf("the audit logs contain %d writes of %q", len(twice), w.label)
}
