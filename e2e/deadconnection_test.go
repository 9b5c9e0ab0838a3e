package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
)

// The bars for a connection to the API server that has died without a word. A test that is not alone on the machine has slack.
const (
	inFlightBar = 8 * time.Second // a GET that was sent on it is answered
	newBar      = 4 * time.Second // from then on, a new request is answered at once
)

const (
	deadMany    = 20                     // requests of each kind that are in flight when the connection dies
	reviewsMany = 10                     // of one user; edge lets 16 be under way
	probePeriod = 250 * time.Millisecond // between two new requests
	probeQuick  = time.Second            // "at once"
	deadTime    = 3 * time.Minute        // for what takes at most 8 s
)

// deadWay is an edge whose connections to the API server can die without a word.
type deadWay struct {
	*testing.T
	s     *site
	relay *testbed.SilentRelay
	edge  *testbed.Edge
	h     *hand
	wrong faults
	name  string // that the names of the test's objects begin with
}

func startDeadWay(t *testing.T, ctx context.Context) *deadWay {
	t.Helper()
	d := &deadWay{T: t, s: badDays(t), name: fmt.Sprintf("%s-%d", slug(t.Name()), labels.Add(1))}
	relay, err := bed.StartSilentRelay(host(d.s.cluster.AdminAccess()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Cut) // before edge ends: what is still kept never arrives
	d.relay = relay
	d.edge = startEdge(t, testbed.EdgeOptions{Cluster: d.s.cluster, Issuer: issuer, Upstream: relay.Through(d.s.cluster.AdminAccess())})
	d.h = newHand(t, d.edge.Access(tokens["alice"]))
	for i := range 3 { // the connection is there, and used
		d.make(ctx, fmt.Sprintf("warm-%d", i))
		if r := d.h.do(ctx, http.MethodGet, badMaps+"/"+d.object(fmt.Sprintf("warm-%d", i)), nil); r.err != nil || r.code != 200 {
			t.Fatal(r)
		}
	}
	return d
}

func (d *deadWay) object(suffix string) string { return d.name + "-" + suffix }

// make makes an object past edge.
func (d *deadWay) make(ctx context.Context, suffix string) {
	d.Helper()
	meta := metav1.ObjectMeta{Name: d.object(suffix), Labels: map[string]string{"bad": "day"}}
	_, err := d.s.cluster.Client.CoreV1().ConfigMaps(badNamespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{})
	if err != nil {
		d.Fatal(err)
	}
}

// exists says, past edge, whether there is an object.
func (d *deadWay) exists(ctx context.Context, suffix string) bool {
	d.Helper()
	list, err := d.s.cluster.Client.CoreV1().ConfigMaps(badNamespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + d.object(suffix)})
	if err != nil {
		d.Fatal(err)
	}
	return len(list.Items) > 0
}

// watch begins a watch of one object and waits for its head.
func (d *deadWay) watch(ctx context.Context, h *hand, suffix string) *follow {
	d.Helper()
	f := h.follow(ctx, watchOf(d.object(suffix)))
	select {
	case err := <-f.began:
		if err != nil {
			d.Fatalf("watch %s: %v", suffix, err)
		}
	case <-ctx.Done():
		d.Fatalf("watch %s does not begin", suffix)
	}
	return f
}

// expect waits for an event about an object.
func (d *deadWay) expect(ctx context.Context, f *follow, suffix string) {
	d.Helper()
	if event, ok := f.next(ctx); !ok || !strings.Contains(event, `"ADDED"`) || !strings.Contains(event, d.object(suffix)) {
		d.Errorf("watch %s: %.300s, %v, want that it was added", suffix, event, f.err)
	}
}

// ended waits for a watch that must not end as one that the server ended.
func (d *deadWay) ended(ctx context.Context, f *follow, what string) {
	d.Helper()
	if event, ok := f.next(ctx); ok {
		d.Errorf("%s: %.300s, want its end", what, event)
	} else if f.err == io.EOF {
		d.Errorf("%s ended as if the API server had ended it", what)
	} else {
		d.Logf("%s: %v", what, f.err)
	}
}

// sent is a request that was under way, and what came of it.
type sent struct {
	what  string
	reply chan reply
}

func (d *deadWay) send(ctx context.Context, method, suffix string, body []byte, header ...string) sent {
	one := sent{method + " " + suffix, make(chan reply, 1)}
	uri := badMaps
	if method != http.MethodPost {
		uri += "/" + d.object(suffix)
	}
	go func() { one.reply <- d.h.do(ctx, method, uri, body, header...) }()
	return one
}

// TestDeadConnection: edge's connection to the API server dies without a word, and with new connections all is well.
func TestDeadConnection(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadTime)
	defer cancel()
	d := startDeadWay(t, ctx)
	d.make(ctx, "seen")
	seen := map[string]*follow{"a watch over HTTP/2": d.watch(ctx, d.h, "seen"), "a watch over HTTP/1.1": d.watch(ctx, newHand(t, d.h.to).overHTTP1(), "seen")}
	for _, f := range seen {
		d.expect(ctx, f, "seen")
	}
	quiet := d.watch(ctx, d.h, "quiet") // its head has come, and nothing else

	n := d.relay.Silence()
	start := time.Now()
	asked := []sent{d.send(ctx, http.MethodHead, "seen", nil)}
	var posted []sent
	for i := range deadMany {
		asked = append(asked, d.send(ctx, http.MethodGet, "seen", nil))
		var header []string
		if i%2 == 0 {
			header = []string{"Idempotency-Key: " + d.object("posted")}
		}
		posted = append(posted, d.send(ctx, http.MethodPost, fmt.Sprintf("posted-%d", i), object(d.object(fmt.Sprintf("posted-%d", i)), "0", i*5000, ""), header...))
	}
	later := d.h.follow(ctx, watchOf(d.object("later")))
	recovered := d.probe(ctx, start)

	var slowest time.Duration
	for _, one := range asked {
		r := <-one.reply
		slowest = max(slowest, r.took)
		if r.err != nil || r.code != 200 || r.took > slack*inFlightBar {
			d.wrong.add(fmt.Sprintf("not 200 within %v", slack*inFlightBar), fmt.Sprint(one.what, ": ", r))
		}
	}
	for i, one := range posted {
		r := <-one.reply
		if r.says(http.StatusGatewayTimeout, maybeDone) || r.err == nil && r.code == http.StatusCreated {
			if there := d.exists(ctx, fmt.Sprintf("posted-%d", i)); there != (r.code == http.StatusCreated) {
				t.Errorf("%s: %v, and that it is there is %v", one.what, r, there)
			}
			continue
		}
		d.wrong.add("neither done nor told by edge's 504 that it "+maybeDone, fmt.Sprint(one.what, ": ", r))
	}
	d.wrong.report(t, nil)
	t.Logf("%d connections died; a GET in flight was answered after %.1f s, a new request at once after %.1f s", n, slowest.Seconds(), recovered.Seconds())
	for what, f := range seen {
		d.ended(ctx, f, what)
	}
	select {
	case err := <-later.began:
		if err != nil {
			t.Errorf("a watch that was asked for meanwhile: %v", err)
		}
	case <-ctx.Done():
		t.Error("a watch that was asked for meanwhile does not begin")
	}
	d.make(ctx, "later")
	d.expect(ctx, later, "later")
	d.make(ctx, "quiet")
	if event, ok := quiet.next(ctx); ok && strings.Contains(event, d.object("quiet")) {
		t.Log("a watch whose head had come goes on")
	} else if ok || quiet.err == io.EOF {
		t.Errorf("a watch whose head had come: %.300s, %v, want that it goes on or breaks", event, quiet.err)
	} else {
		t.Logf("a watch whose head had come breaks: %v", quiet.err)
	}
}

// probe makes new requests until some in a row are answered at once, and returns when, after start, the first of those was made.
func (d *deadWay) probe(ctx context.Context, start time.Time) time.Duration {
	d.Helper()
	const row = 8
	var mu sync.Mutex
	var all []*struct {
		at   time.Duration
		took time.Duration // zero: not answered yet
	}
	var probes sync.WaitGroup
	defer probes.Wait()
	for pause(ctx, probePeriod) {
		mu.Lock()
		one := &struct{ at, took time.Duration }{at: time.Since(start)}
		all = append(all, one)
		quick := 0
		for _, p := range slices.Backward(all[:len(all)-1]) {
			if p.took == 0 || p.took > probeQuick {
				break
			}
			quick++
		}
		if quick >= row {
			recovered := all[len(all)-1-quick].at
			mu.Unlock()
			if recovered > slack*newBar {
				d.Errorf("new requests are answered at once after %v, want %v", recovered, slack*newBar)
			}
			return recovered
		}
		mu.Unlock()
		probes.Go(func() {
			r := d.h.do(ctx, http.MethodGet, badMaps+"/"+d.object("warm-0"), nil)
			mu.Lock()
			defer mu.Unlock()
			one.took = max(r.took, 1)
			if r.err != nil || r.code != 200 {
				d.wrong.add("a new request failed", fmt.Sprintf("%v after the connection died: %v", one.at, r))
			}
		})
	}
	d.Error("new requests are not answered at once any more")
	return 0
}

const (
	briefSilence = 4 * time.Second         // longer than a PING may take before the connection gets nothing new
	mostSilence  = 5500 * time.Millisecond // shorter than the connection may be silent
)

// TestConnectionComesBack: a connection that was silent for a while, and not for longer than edge waits, has lost nothing.
func TestConnectionComesBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadTime)
	defer cancel()
	d := startDeadWay(t, ctx)
	d.make(ctx, "seen")
	seen := d.watch(ctx, d.h, "seen")
	d.expect(ctx, seen, "seen")
	quiet := d.watch(ctx, d.h, "quiet")
	// What a slow machine made longer than it should be proves nothing, and is done again.
	for round := 0; ; round++ {
		var asked, posted []sent
		start := time.Now()
		d.relay.Silence()
		for i := range deadMany {
			name := fmt.Sprintf("posted-%d-%d", round, i)
			asked = append(asked, d.send(ctx, http.MethodGet, "seen", nil))
			posted = append(posted, d.send(ctx, http.MethodPost, name, object(d.object(name), "0", i*5000, "")))
		}
		pause(ctx, briefSilence)
		d.relay.Resume()
		lasted := time.Since(start)
		wrong := 0
		check := func(one sent, code int) {
			if r := <-one.reply; r.err != nil || r.code != code {
				if wrong++; lasted < mostSilence {
					d.wrong.add(fmt.Sprintf("not %d", code), fmt.Sprint(one.what, ": ", r))
				}
			}
		}
		for i := range asked {
			check(asked[i], http.StatusOK)
			check(posted[i], http.StatusCreated)
		}
		d.wrong.report(t, nil)
		t.Logf("silent for %.1f s: %d of %d requests failed", lasted.Seconds(), wrong, len(asked)+len(posted))
		if lasted < mostSilence {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("this machine was too slow to be silent briefly")
		}
	}
	d.make(ctx, "quiet")
	d.expect(ctx, quiet, "quiet")
	maps := d.s.cluster.Client.CoreV1().ConfigMaps(badNamespace)
	if err := maps.Delete(ctx, d.object("seen"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if event, ok := seen.next(ctx); !ok || !strings.Contains(event, `"DELETED"`) {
		t.Errorf("a watch that had begun: %.300s, %v, want that it goes on", event, seen.err)
	}
}

// TestDeadConnectionOfReviews: what edge asks of its own accord goes over such connections, too.
func TestDeadConnectionOfReviews(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadTime)
	defer cancel()
	d := startDeadWay(t, ctx)
	k := &kop{T: t, s: d.s}
	group := d.object("mayimpersonate")
	k.grantEverywhere(rbacGroup(testbed.GroupsPrefix+group), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}})
	claims := issuer.Claims("impersonator")
	claims["groups"] = []string{group}
	token, err := issuer.Mint(claims)
	if err != nil {
		t.Fatal(err)
	}
	h := newHand(t, d.edge.Access(token))
	as := func(n int) reply {
		return h.do(ctx, http.MethodGet, "/version", nil, fmt.Sprintf("Impersonate-User: person-%d", n))
	}
	eventually(ctx, t, patience, "impersonation", func(context.Context) error {
		if r := as(0); r.err != nil || r.code != 200 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	for round := range 2 {
		d.relay.Silence()
		var slowest time.Duration
		replies := make(chan reply)
		for i := range reviewsMany {
			go func() { replies <- as(1 + round*reviewsMany + i) }()
		}
		for range reviewsMany {
			r := <-replies
			slowest = max(slowest, r.took)
			if r.err != nil || r.code != 200 || r.took > slack*inFlightBar {
				d.wrong.add(fmt.Sprintf("not 200 within %v", slack*inFlightBar), r)
			}
		}
		d.wrong.report(t, nil)
		t.Logf("requests with new reviews, in flight when the connections died, were answered after at most %.1f s", slowest.Seconds())
	}
}
