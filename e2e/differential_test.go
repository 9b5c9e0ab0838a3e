package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"

	"edge/e2e/rawclient"
	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// pair is a client's dialect to edge and edge's protocol to the API server.
type pair struct {
	site     *site
	upstream string
	d        rawclient.Dialect
	edge     *testbed.Edge
}

// v5 is the dialect that API servers translate to SPDY themselves.
const v5 = "websocket v5"

// Values of --upstream-streaming that select one protocol.
const (
	overSPDY      = "spdy"
	overWebSocket = "websocket"
)

// scenario is the behaviour of a client. The same function runs it through edge and directly at the
// API server.
type scenario struct {
	name string

	// skip returns why a dialect cannot run the scenario; empty: the dialect can.
	skip func(rawclient.Dialect) string
	// stdin means that the scenario needs stdin. Such a scenario does not run with WebSocket
	// upstream on the old cluster: WebSocket v4 has no half-close of stdin, so edge does not offer
	// it there.
	stdin bool
	heavy bool // keeps a core busy; runs only with a slot of heavy

	run func(ctx context.Context, r attempt) (rawclient.Observation, error)

	// check checks the API server's own observation, so that edge is not compared with a broken
	// session.
	check func(rawclient.Dialect, rawclient.Observation) error

	// differs returns the difference that must occur; nil: none is allowed.
	differs func(pair) *difference
}

// attempt is one run of a scenario.
type attempt struct {
	d     rawclient.Dialect
	site  *site
	to    cluster.Access
	other cluster.Access // as to, but for a user without the right
	name  string         // unique, and valid as a file name
	edge  *testbed.Edge  // nil: the attempt is directly at the API server
}

// ownAccess returns the access of a user directly at the API server, with the user and group names
// that edge sends.
func (s *site) ownAccess(t *testing.T, user, group string) cluster.Access {
	t.Helper()
	access, err := s.cluster.UserAccess(testbed.UsernamePrefix+user, testbed.GroupsPrefix+group)
	if err != nil {
		t.Fatal(err)
	}
	return access
}

// forEachPair runs a test for each upstream protocol and each dialect on both clusters.
func forEachPair(t *testing.T, list []rawclient.Dialect, test func(t *testing.T, p pair)) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, upstream := range []string{overSPDY, overWebSocket} {
			t.Run(upstream, func(t *testing.T) {
				t.Parallel()
				edge := startStreamingEdge(t, s, upstream, cluster.Access{})
				for _, d := range list {
					t.Run(d.Name, func(t *testing.T) {
						t.Parallel()
						test(t, pair{site: s, upstream: upstream, d: d, edge: edge})
					})
				}
			})
		}
	})
}

func startStreamingEdge(t *testing.T, s *site, upstream string, to cluster.Access) *testbed.Edge {
	t.Helper()
	edge, err := bed.StartEdge(t.Context(), testbed.EdgeOptions{
		Cluster: s.cluster, Issuer: idp, Upstream: to, Args: []string{"--upstream-streaming=" + upstream},
	})
	if err != nil {
		t.Fatal(err)
	}
	return edge
}

// spokenBy returns the dialect for the direct run. It differs from d if the API server does not
// support d.
func spokenBy(kind cluster.Kind, d rawclient.Dialect) rawclient.Dialect {
	switch {
	case d.Name == "spdy v5":
		return rawclient.ByName(rawclient.Execs, "spdy v4") // no API server agrees to v5 only
	case kind == cluster.New:
	case d.Name == v5:
		return rawclient.ByName(rawclient.Execs, "spdy v4") // WebSocket v4 has no half-close
	case d.Tunnel:
		return rawclient.ByName(rawclient.Forwards, "spdy")
	}
	return d
}

// oracles runs each scenario once per dialect and cluster directly at the API server and stores the
// observation.
type oracles struct {
	mu   sync.Mutex
	runs map[string]func() (rawclient.Observation, error)
}

var oracle = oracles{runs: map[string]func() (rawclient.Observation, error){}}

func (o *oracles) observe(key string, run func() (rawclient.Observation, error)) (rawclient.Observation, error) {
	o.mu.Lock()
	once, ok := o.runs[key]
	if !ok {
		once = sync.OnceValues(run)
		o.runs[key] = once
	}
	o.mu.Unlock()
	return once()
}

// slots limits how many scenarios run at a time.
var slots = make(chan struct{}, 6)

// mostScenario is the timeout of one run of a scenario.
const mostScenario = 5 * time.Minute

// mostOwn is the number of direct attempts. On a busy machine, the API server sometimes fails with
// an old dialect.
const mostOwn = 2

// compare runs a scenario directly and through edge and compares the observations.
func (p pair) compare(t *testing.T, verb string, sc scenario) {
	t.Helper()
	slots <- struct{}{}
	defer func() { <-slots }()
	if sc.heavy {
		heavy <- struct{}{}
		defer func() { <-heavy }()
	}
	start := time.Now()
	own := p.own(t, verb, sc)
	middle := time.Now()
	got, err := p.throughEdge(t, sc)
	t.Logf("the API server itself %.2f s, through edge %.2f s", middle.Sub(start).Seconds(), time.Since(middle).Seconds())
	if err != nil {
		t.Errorf("through edge: %v\n%v", err, got)
		return
	}
	p.judge(t, sc, own, got)
}

// own returns the observation of the pair's client directly at the API server.
func (p pair) own(t *testing.T, verb string, sc scenario) rawclient.Observation {
	t.Helper()
	d := spokenBy(p.site.cluster.Kind, p.d)
	kind := string(p.site.cluster.Kind)
	to, other := p.site.ownAccess(t, "alice", "dev"), p.site.ownAccess(t, "bob", "ops")
	o, err := oracle.observe(strings.Join([]string{verb, kind, d.Name, sc.name}, " "), func() (o rawclient.Observation, err error) {
		for try := range mostOwn {
			ctx, cancel := context.WithTimeout(context.Background(), mostScenario) // not the test's context, because other pairs use the result too
			o, err = sc.run(ctx, attempt{
				d: d, site: p.site, to: to, other: other, name: slug(fmt.Sprint(kind, " ", d.Name, " ", sc.name, " ", try)),
			})
			cancel()
			if err == nil && sc.check != nil {
				err = sc.check(d, o)
			}
			if err == nil {
				break
			}
		}
		return o, err
	})
	if err != nil {
		t.Fatalf("the API server itself: %v\n%v", err, o)
	}
	return inDialect(o, d, p.d)
}

// throughEdge returns the observation of the pair's client through edge.
func (p pair) throughEdge(t *testing.T, sc scenario) (rawclient.Observation, error) {
	ctx, cancel := context.WithTimeout(t.Context(), mostScenario)
	defer cancel()
	name := slug(strings.Join([]string{string(p.site.cluster.Kind), p.d.Name, sc.name, p.upstream}, " "))
	return sc.run(ctx, attempt{
		d: p.d, site: p.site, name: name, edge: p.edge,
		to: p.edge.Access(tokens["alice"]), other: p.edge.Access(tokens["bob"]),
	})
}

// judge compares the observations and checks that an expected difference occurs.
func (p pair) judge(t *testing.T, sc scenario, own, edge rawclient.Observation) {
	t.Helper()
	want := own
	if sc.differs != nil {
		if d := sc.differs(p); d != nil {
			var err error
			if want, err = d.apply(own, edge); err != nil {
				t.Errorf("%s: %v\nthe API server itself:\n%v\nthrough edge:\n%v", d.name, err, own, edge)
				return
			}
			if !d.agreed {
				t.Errorf("a known difference that is not accepted: %s\nthe API server itself:\n%v\nthrough edge:\n%v", d.name, own, edge)
			}
		}
	}
	if want.String() != edge.String() {
		t.Errorf("the API server itself:\n%v\nthrough edge:\n%v", own, edge)
	}
}

// inDialect converts an observation in one dialect to what it would be in another dialect of the
// same API server. The agreed subprotocol, the start message and the close code belong to
// WebSocket, whose request is a GET. The message of a v5 Status comes from the API server's
// translator.
func inDialect(o rawclient.Observation, from, to rawclient.Dialect) rawclient.Observation {
	if isGet := func(d rawclient.Dialect) bool { return !d.SPDY || d.Tunnel }; isGet(to) && !isGet(from) {
		o.Refusal = strings.Replace(o.Refusal, "cannot create resource", "cannot get resource", 1)
	}
	if from.Name == to.Name || o.Refusal != "" {
		return o
	}
	o.Subprotocol = to.Offer[0]
	switch {
	case to.Tunnel:
		o.Close = 1000 // the server's answer to the client's close frame
	case !to.SPDY:
		o.Start = 1
		if o.Close == 0 {
			o.Close = 1000
		}
		if to.Name == v5 && o.Status != nil && o.Status.Status == metav1.StatusFailure {
			o.Status = inTranslatorsWords(o.Status)
		}
	}
	return o
}

// inTranslatorsWords returns the Status that the API server's translator makes of a container
// runtime's failure.
func inTranslatorsWords(s *metav1.Status) *metav1.Status {
	if s.Reason != remotecommand.NonZeroExitCodeReason {
		return &apierrors.NewInternalError(errors.New(s.Message)).ErrStatus
	}
	s = s.DeepCopy()
	s.Message = "command terminated with non-zero exit code: command terminated with exit code " + s.Details.Causes[0].Message
	return s
}
