package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
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

// pair is what one differential test runs: a client's dialect (protocol and subprotocol) to edge,
// and the protocol that edge uses to the API server.
type pair struct {
	site     *site
	upstream string
	d        rawclient.Dialect
	edge     *testbed.Edge
}

// runs returns true if this pair runs scenario number n of exec. With the flag -matrix, and on the
// new cluster, each pair runs every scenario. On the old cluster, edge's way is the same as on the
// new one and only the API server differs. There each pair runs every third scenario: different
// ones for different dialects, and for the two protocols to the API server.
func (p pair) runs(n int) bool {
	if *wholeMatrix || p.site.cluster.Kind == cluster.New {
		return true
	}
	dialect := slices.IndexFunc(rawclient.Execs, func(d rawclient.Dialect) bool { return d.Name == p.d.Name })
	upstream := slices.Index(upstreamProtocols, p.upstream)
	return (n+dialect+upstream)%3 == 0
}

// v5 is the name of the WebSocket dialect that API servers themselves translate to SPDY.
const v5 = "websocket v5"

// Values of the flag --upstream-streaming that make edge use only one protocol to the API server.
const (
	overSPDY      = "spdy"
	overWebSocket = "websocket"
)

// upstreamProtocols are the protocols to the API server that the differential tests run.
var upstreamProtocols = []string{overSPDY, overWebSocket}

// scenario is what a client does in a session. The same function runs it through edge and directly
// at the API server, so that the test can compare the two observations.
type scenario struct {
	name string

	// skip returns the reason why a dialect cannot run the scenario; empty: it can.
	skip func(rawclient.Dialect) string
	// stdin is true if the scenario needs stdin. On the old cluster, such a scenario does not run
	// with edge using WebSocket upstream: WebSocket v4 has no half-close of stdin, so edge does not
	// use it there.
	stdin bool
	heavy bool // the scenario keeps a core busy, so it waits for a slot of the channel heavy

	run func(ctx context.Context, r attempt) (rawclient.Observation, error)

	// check returns an error if the observation at the API server itself is not the expected one.
	// So a test never compares edge with a broken session.
	check func(rawclient.Dialect, rawclient.Observation) error

	// differs returns the difference that must occur between edge and the API server; nil: they
	// must be equal.
	differs func(pair) *difference
}

// attempt is one run of a scenario (what a client does in a session), either through edge or
// directly at the API server.
type attempt struct {
	d     rawclient.Dialect
	site  *site
	to    cluster.Access
	other cluster.Access // like the field to, but with the credential of a user who may not exec
	name  string         // unique among all attempts, and valid as a file name
	edge  *testbed.Edge  // nil: the session does not use edge
}

// ownAccess returns the address of the API server itself and a credential of a user. The credential
// has the user and group names under which edge impersonates that user.
func (s *site) ownAccess(t *testing.T, user, group string) cluster.Access {
	t.Helper()
	access, err := s.cluster.UserAccess(testbed.UsernamePrefix+user, testbed.GroupsPrefix+group)
	if err != nil {
		t.Fatal(err)
	}
	return access
}

// forEachPair runs a test on both clusters, for each protocol that edge can use upstream and each
// dialect in list.
func forEachPair(t *testing.T, list []rawclient.Dialect, test func(t *testing.T, p pair)) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, upstream := range upstreamProtocols {
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
	return startEdge(t, testbed.EdgeOptions{
		Cluster: s.cluster, Issuer: idp, Upstream: to, Args: []string{"--upstream-streaming=" + upstream},
	})
}

// spokenBy returns the dialect in which a client runs the scenario directly at the API server. That
// is the dialect d itself, or a similar dialect if the API server does not support d.
func spokenBy(kind cluster.Kind, d rawclient.Dialect) rawclient.Dialect {
	switch {
	case d.Name == "spdy v5":
		// no API server accepts an SPDY client that offers only v5
		return rawclient.ByName(rawclient.Execs, "spdy v4")
	case kind == cluster.New:
	case d.Name == v5:
		// SPDY v4 replaces WebSocket v5; WebSocket v4 cannot, because it has no half-close
		return rawclient.ByName(rawclient.Execs, "spdy v4")
	case d.Tunnel:
		return rawclient.ByName(rawclient.Forwards, "spdy")
	}
	return d
}

// oracles stores what a client observes in a scenario directly at the API server. Each scenario
// runs once per dialect and cluster.
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

// slots limits the number of scenarios that run at the same time.
var slots = make(chan struct{}, 6)

// mostScenario is the timeout of one run of a scenario (what a client does in a session).
const mostScenario = 5 * time.Minute

// mostOwn is how often a scenario is tried directly at the API server, because a session with an
// old dialect sometimes fails on a busy machine.
const mostOwn = 2

// compare runs a scenario directly at the API server and through edge, and compares the two
// observations.
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

// own returns what the client observes in a scenario directly at the API server.
func (p pair) own(t *testing.T, verb string, sc scenario) rawclient.Observation {
	t.Helper()
	d := spokenBy(p.site.cluster.Kind, p.d)
	kind := string(p.site.cluster.Kind)
	to, other := p.site.ownAccess(t, "alice", "dev"), p.site.ownAccess(t, "bob", "ops")
	o, err := oracle.observe(strings.Join([]string{verb, kind, d.Name, sc.name}, " "), func() (o rawclient.Observation, err error) {
		for try := range mostOwn {
			// this context does not depend on the test's context, because other tests use the
			// stored result too
			o, err = sc.observe(context.Background(), attempt{
				d: d, site: p.site, to: to, other: other, name: slug(fmt.Sprint(kind, " ", d.Name, " ", sc.name, " ", try)),
			})
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

// throughEdge runs a scenario through edge and returns what the client observes.
func (p pair) throughEdge(t *testing.T, sc scenario) (rawclient.Observation, error) {
	name := slug(strings.Join([]string{string(p.site.cluster.Kind), p.d.Name, sc.name, p.upstream}, " "))
	return sc.observe(t.Context(), attempt{
		d: p.d, site: p.site, name: name, edge: p.edge,
		to: p.edge.Access(tokens["alice"]), other: p.edge.Access(tokens["bob"]),
	})
}

// observe runs the scenario, for at most mostScenario. Shortly before this timeout it prints what the
// session waits for.
func (sc scenario) observe(ctx context.Context, a attempt) (rawclient.Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, mostScenario)
	defer cancel()
	hangs := time.AfterFunc(mostScenario-10*time.Second, func() {
		fmt.Fprintf(os.Stderr, "%s has almost timed out:\n%s", a.name, unreadBytes(ctx))
	})
	defer hangs.Stop()
	return sc.run(ctx, a)
}

// unreadBytes lists the TCP connections of this machine on which bytes wait: the column Recv-Q counts
// bytes that this end's program has not read, the column Send-Q bytes that the other end has not
// acknowledged. So the list shows which program does not read. Below it are the processes of the
// container runtime runc, if there are any.
func unreadBytes(ctx context.Context) string {
	sockets, err := exec.CommandContext(ctx, "ss", "-tnpiO").CombinedOutput()
	// the error is ignored: ps also fails if there is no such process
	programs, _ := exec.CommandContext(ctx, "ps", "-C", "runc", "-o", "pid,stat,wchan:32,etimes,args").CombinedOutput()
	lines := slices.DeleteFunc(strings.Split(string(sockets), "\n"), func(line string) bool {
		f := strings.Fields(line)
		return len(f) < 3 || f[1] == "0" && f[2] == "0"
	})
	return fmt.Sprintln(strings.Join(lines, "\n"), err) + string(programs)
}

// judge compares own, the observation at the API server, with edge, the observation through edge.
// If a difference is expected, it must occur.
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

// inDialect converts the observation of a session from one dialect (the parameter from) to another
// (the parameter to): it returns what a client with the other dialect would observe at the same API
// server. It changes what only WebSocket has: the agreed subprotocol, the start message and the
// close code. In a refusal it changes the verb, because a WebSocket request is a GET. For WebSocket
// v5 it changes the message of a failure, because the API server's translator from WebSocket to
// SPDY writes that message itself.
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
		o.Close = 1000 // the close code with which the server answers the client's close frame
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

// inTranslatorsWords returns the Status that the API server's translator from WebSocket to SPDY
// sends instead of the container runtime's failure s.
func inTranslatorsWords(s *metav1.Status) *metav1.Status {
	if s.Reason != remotecommand.NonZeroExitCodeReason {
		return &apierrors.NewInternalError(errors.New(s.Message)).ErrStatus
	}
	s = s.DeepCopy()
	s.Message = "command terminated with non-zero exit code: command terminated with exit code " + s.Details.Causes[0].Message
	return s
}
