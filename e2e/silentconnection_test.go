package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
)

const (
	// how long the relay forwards nothing. This is longer than edge waits for the answer to a PING,
	// so edge opens another connection for new requests.
	briefSilence = 4 * time.Second
	// size in bytes of a response. The buffers on the path hold less, so a part of the response
	// must arrive after the silence.
	halfBytes = 32 << 20
	// If the silence of a round was longer than this, the test ignores the round's failures. The
	// value is shorter than the silence after which edge closes a connection.
	mostSilence = 5500 * time.Millisecond
)

// TestConnectionComesBack checks requests on an upstream connection that is silent for a while, for
// less time than edge's timeout. No request may be lost.
func TestConnectionComesBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadTime)
	defer cancel()
	d := startDeadWay(ctx, t)
	d.make(ctx, "seen")
	seen := d.watch(ctx, d.h, "seen")
	d.expect(ctx, seen, "seen")
	quiet := d.watch(ctx, d.h, "quiet")
	// Repeat a round in which the silence was too long because the machine was slow: such a round
	// proves nothing.
	for round := 0; ; round++ {
		half := d.halfAnswer(ctx, halfBytes)
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
		rest, err := io.Copy(io.Discard, half)
		half.Close()
		if err != nil || rest != halfBytes-halfRead {
			if wrong++; lasted < mostSilence {
				d.wrong.add("a response that had begun was not completed", fmt.Sprintf("%d more bytes, %v", rest, err))
			}
		}
		d.wrong.report(t, nil)
		t.Logf("silent for %.1f s: %d of %d requests failed", lasted.Seconds(), wrong, len(asked)+len(posted))
		if lasted < mostSilence {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("this machine was too slow for a short silence")
		}
	}
	d.make(ctx, "quiet")
	d.expect(ctx, quiet, "quiet")
	maps := d.s.cluster.Client.CoreV1().ConfigMaps(badNamespace)
	if err := maps.Delete(ctx, d.object("seen"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if event, ok := seen.next(ctx); !ok || !strings.Contains(event, `"DELETED"`) {
		t.Errorf("a watch that had begun: %.300s, %v; want that it continues", event, seen.err)
	}
}

// TestDeadConnectionOfReviews checks the access reviews that edge sends on its own. They must also
// succeed soon after their connection to the API server has died.
func TestDeadConnectionOfReviews(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadTime)
	defer cancel()
	d := startDeadWay(ctx, t)
	k := &kop{T: t, s: d.s}
	group := d.object("mayimpersonate")
	k.grantEverywhere(rbacGroup(testbed.GroupsPrefix+group), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}})
	claims := idp.Claims("impersonator")
	claims["groups"] = []string{group}
	token, err := idp.Mint(claims)
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

// TestSlowAnswerIsNoDeadConnection checks a slow response on a connection that works: edge must
// wait for it and not treat the connection as dead.
func TestSlowAnswerIsNoDeadConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), deadTime)
	defer cancel()
	d := startDeadWay(ctx, t)
	// delay of the response: twice as long as edge waits for a response on a dead connection
	const after = 15 * time.Second
	before := d.relay.Accepted()
	replies := make(chan reply)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		go func() {
			var body []byte
			if method == http.MethodPost {
				body = make([]byte, 100_000)
			}
			replies <- d.h.do(ctx, method, fmt.Sprintf("%s?bytes=7&after=%v", bytesURI, after), body)
		}()
	}
	for range 2 {
		if r := <-replies; r.err != nil || r.code != 200 || r.took < after {
			t.Errorf("%v, want 200 after %v", r, after)
		}
	}
	t.Logf("%d more connections", d.relay.Accepted()-before)
}
