package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/network"
)

// deadWay is an edge with a relay in front of the API server. The relay can make edge's connections
// appear dead: no byte passes, and no FIN or RST arrives.
type deadWay struct {
	*testing.T
	s     *site
	relay *network.SilentRelay
	edge  *testbed.Edge
	h     *hand
	wrong faults
	name  string // prefix of the names of all objects that the test creates
}

func startDeadWay(ctx context.Context, t *testing.T) *deadWay {
	t.Helper()
	d := &deadWay{T: t, s: badDays(t), name: fmt.Sprintf("%s-%d", slug(t.Name()), labels.Add(1))}
	relay, err := bed.StartSilentRelay(host(d.s.cluster.AdminAccess()))
	if err != nil {
		t.Fatal(err)
	}
	// close the relay's connections before another cleanup stops edge, so that the bytes that the
	// relay has kept never arrive
	t.Cleanup(relay.Cut)
	d.relay = relay
	d.edge = startEdge(t, testbed.EdgeOptions{Cluster: d.s.cluster, Issuer: idp, Upstream: relay.Through(d.s.cluster.AdminAccess())})
	d.h = newHand(t, d.edge.Access(tokens["alice"]))
	for i := range 3 { // make sure that a connection to the API server is open and in use
		d.make(ctx, fmt.Sprintf("warm-%d", i))
		if r := d.h.do(ctx, http.MethodGet, badMaps+"/"+d.object(fmt.Sprintf("warm-%d", i)), nil); r.err != nil || r.code != 200 {
			t.Fatal(r)
		}
	}
	return d
}

func (d *deadWay) object(suffix string) string { return d.name + "-" + suffix }

// make creates the ConfigMap with this name suffix directly at the API server, not through edge.
func (d *deadWay) make(ctx context.Context, suffix string) {
	d.Helper()
	meta := metav1.ObjectMeta{Name: d.object(suffix), Labels: map[string]string{"bad": "day"}}
	_, err := d.s.cluster.Client.CoreV1().ConfigMaps(badNamespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{})
	if err != nil {
		d.Fatal(err)
	}
}

// exists returns true if the ConfigMap with this name suffix exists. It sends the request directly
// to the API server, not through edge.
func (d *deadWay) exists(ctx context.Context, suffix string) bool {
	d.Helper()
	list, err := d.s.cluster.Client.CoreV1().ConfigMaps(badNamespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + d.object(suffix)})
	if err != nil {
		d.Fatal(err)
	}
	return len(list.Items) > 0
}

// watch starts a watch of the ConfigMap with this name suffix, and waits until the header of the
// response has arrived.
func (d *deadWay) watch(ctx context.Context, h *hand, suffix string) *follow {
	d.Helper()
	f := h.follow(ctx, watchOf(d.object(suffix)))
	d.begins(ctx, f, suffix)
	return f
}

// begins waits until the header of a watch's response has arrived.
func (d *deadWay) begins(ctx context.Context, f *follow, suffix string) {
	d.Helper()
	select {
	case err := <-f.began:
		if err != nil {
			d.Fatalf("watch %s: %v", suffix, err)
		}
	case <-ctx.Done():
		d.Fatalf("watch %s: no response before the timeout", suffix)
	}
}

// halfAnswer requests a response with a body of this many bytes, reads the first halfRead bytes,
// and returns the rest of the body.
func (d *deadWay) halfAnswer(ctx context.Context, bytes int64) io.ReadCloser {
	d.Helper()
	resp, err := d.h.begin(ctx, http.MethodGet, fmt.Sprintf("%s?bytes=%d", bytesURI, bytes), nil)
	if err == nil {
		_, err = io.ReadFull(resp.Body, make([]byte, halfRead))
	}
	if err != nil {
		d.Fatal(err)
	}
	return resp.Body
}

const halfRead = 1 << 20 // number of bytes that halfAnswer reads of a response

// expect waits for the watch event that the ConfigMap with this name suffix was added.
func (d *deadWay) expect(ctx context.Context, f *follow, suffix string) {
	d.Helper()
	if event, ok := f.next(ctx); !ok || !strings.Contains(event, `"ADDED"`) || !strings.Contains(event, d.object(suffix)) {
		d.Errorf("watch %s: %.300s, %v, want the event that the object was added", suffix, event, f.err)
	}
}

// ended waits for the end of a watch. It fails the test if the response ends as if the API server
// had ended it normally.
func (d *deadWay) ended(ctx context.Context, f *follow, what string) {
	d.Helper()
	if event, ok := f.next(ctx); ok {
		d.Errorf("%s: received %.300s, want the end of the watch", what, event)
	} else if f.err == io.EOF {
		d.Errorf("%s ended like a normal end by the API server", what)
	} else {
		d.Logf("%s: %v", what, f.err)
	}
}

// sent is a request in flight. The channel receives the response, or the error instead.
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
