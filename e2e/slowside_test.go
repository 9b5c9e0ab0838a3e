package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"edge/e2e/rawclient"
	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/monitoring"
	"edge/e2e/testbed/network"
)

// slowWay is the round-trip time to the API server that answers slowly. It is shorter than edge's
// timeout for a check of the API server, so edge stays ready.
const slowWay = 1500 * time.Millisecond

// hangingLists is a number of lists that wait at the same time, far more than the one that each
// case of the test sends at a time.
const hangingLists = 20

// slow is what the dashboard's panels say about one edge: who keeps people waiting.
type slow struct {
	client, upstream, keystroke bool
	apiServer                   bool // it answers late
	noAnswer                    bool // it does not answer at all
	reviews                     bool // its token reviews keep logins waiting
}

// slowCase is an edge with one cause of slowness.
type slowCase struct {
	name string
	want slow
	edge *testbed.Edge
	// begin starts what makes the edge slow, if anything is needed beside plain requests. It
	// returns when ctx ends.
	begin func(context.Context, *testing.T, cluster.Access) error
}

// TestWhichSideIsSlow checks that the dashboard's panels, by whose titles docs/operations.md tells
// an operator where to look, name the side that is slow, and only that one: a client that does not
// read, a pod that does not read, a program in a terminal that does not answer a keystroke, an API
// server that answers late, also to token reviews, and one that does not answer. The queries come from the dashboard, with one replica selected.
func TestWhichSideIsSlow(t *testing.T) {
	t.Parallel()
	on := sites[cluster.New].cluster
	line, err := bed.StartLine(host(on.AdminAccess()), network.LineOptions{RoundTrip: slowWay})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Cut)
	near := testbed.EdgeOptions{Cluster: on, Issuer: idp}
	far := near
	far.Upstream = line.Through(on.AdminAccess())
	reviewing := far
	reviewing.Args = []string{"--token-passthrough"}
	if err := on.GrantOptions(t.Context()); err != nil {
		t.Fatal(err)
	}
	relay, err := bed.StartSilentRelay(host(on.AdminAccess()))
	if err != nil {
		t.Fatal(err)
	}
	away := near
	away.Upstream = relay.Through(on.AdminAccess())
	cases := []*slowCase{
		{name: "client", want: slow{client: true}, edge: startEdge(t, near), begin: readNothing},
		{name: "pod", want: slow{upstream: true}, edge: startEdge(t, near), begin: fillStdin},
		{name: "keystroke", want: slow{keystroke: true}, edge: startEdge(t, near), begin: typeInVain},
		{name: "API server", want: slow{apiServer: true}, edge: startEdge(t, far)},
		{name: "token reviews", want: slow{reviews: true}, edge: startEdge(t, reviewing), begin: unknownTokens},
		{name: "no answer", want: slow{noAnswer: true}, edge: startEdge(t, away), begin: func(ctx context.Context, t *testing.T, to cluster.Access) error {
			return hang(ctx, t, to, relay)
		}},
	}
	// end the connections on which the relay holds bytes before another cleanup stops their edge
	t.Cleanup(relay.Cut)
	var targets []string
	for _, c := range cases {
		targets = append(targets, c.edge.Probes)
	}
	prometheus := startPrometheus(t, monitoring.PrometheusOptions{Targets: targets})
	panels := readDashboard(t)
	all := together{t: t}
	defer all.Wait()
	for _, c := range cases {
		all.run(c.name, func(t *testing.T) { c.run(t, prometheus, panels) })
	}
}

func (c *slowCase) run(t *testing.T, prometheus *monitoring.Prometheus, panels dashboard) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	to := c.edge.Access(tokens["alice"])
	// plain requests, so that the panels of requests show values in each case
	h := newHand(t, to)
	running.Go(func() {
		for ctx.Err() == nil {
			r := h.do(ctx, http.MethodGet, podsURI+"?limit=1", nil)
			if ctx.Err() == nil && !c.want.noAnswer && (r.err != nil || r.code != http.StatusOK) {
				t.Errorf("list: %v", r)
				return
			}
			pause(ctx, 100*time.Millisecond)
		}
	})
	if c.begin != nil {
		running.Go(func() {
			if err := c.begin(ctx, t, to); ctx.Err() == nil {
				t.Errorf("the session ended: %v", err)
			}
		})
	}
	eventually(ctx, t, patience, "the dashboard names "+c.name, func(ctx context.Context) error {
		got, shown, err := panels.whoIsSlow(ctx, prometheus, c.edge)
		if err == nil && got != c.want {
			err = fmt.Errorf("the dashboard says %+v, want %+v: %s", got, c.want, shown)
		}
		return err
	})
}

// whoIsSlow reads the dashboard's panels as docs/operations.md describes it. It returns the panels'
// values, too.
func (d dashboard) whoIsSlow(ctx context.Context, p *monitoring.Prometheus, e *testbed.Edge) (slow, string, error) {
	var errs []error
	read := func(title, label string) reading {
		r, err := d.read(ctx, p, e, title, label)
		errs = append(errs, err)
		return r
	}
	sides, waiting := read("Which side is slow", "side"), read("Keystrokes without echo", "")
	answers, logins := read("Time to first byte", "verb"), read("Duration of authentication", "")
	inFlight, reviews := read("Requests in flight", "verb"), read("Duration of reviews", "kind")
	says := slow{client: sides["client"] > 0.5, upstream: sides["upstream"] > 0.5, keystroke: waiting[""] > 0, noAnswer: inFlight["LIST"] > hangingLists/2}
	needed := map[string]bool{"sides": len(sides) == 2, "keystrokes": len(waiting) == 1}
	if !says.noAnswer { // edge itself answers what has waited too long; until then there may be no answers
		needed["lists"], needed["authentication"] = answers["LIST"] > 0, logins[""] > 0
		// the line delays each answer by more than a second; a login needs no answer
		says.apiServer = answers["LIST"] > 1 && logins[""] < answers["LIST"]/2
		says.reviews = logins[""] > 1 && reviews["token"] > 1
	}
	for what, shown := range needed {
		if !shown {
			errs = append(errs, fmt.Errorf("the panel shows nothing about %s", what))
		}
	}
	return says,
		fmt.Sprintf("sides %v, keystrokes %v, time to first byte %v, authentication %v, in flight %v, reviews %v",
			sides, waiting, answers, logins, inFlight, reviews),
		errors.Join(errs...)
}

// hang makes an edge's connections to the API server silent, and sends lists until ctx ends. None
// may be answered by the API server.
func hang(ctx context.Context, t *testing.T, to cluster.Access, relay *network.SilentRelay) error {
	relay.SilenceAll()
	var lists sync.WaitGroup
	defer lists.Wait()
	h := newHand(t, to)
	for range hangingLists {
		lists.Go(func() {
			for ctx.Err() == nil {
				if r := h.do(ctx, http.MethodGet, podsURI+"?limit=1", nil); r.code == http.StatusOK {
					t.Errorf("the silent API server has answered: %v", r)
				}
				pause(ctx, 100*time.Millisecond)
			}
		})
	}
	<-ctx.Done()
	return ctx.Err()
}

// unknownTokens sends requests whose tokens only the API server can judge, each with another token,
// until ctx ends.
func unknownTokens(ctx context.Context, t *testing.T, to cluster.Access) error {
	for n := 0; ctx.Err() == nil; n++ {
		to.Token = fmt.Sprintf("unknown-%d", n)
		if r := newHand(t, to).do(ctx, http.MethodGet, podsURI, nil); ctx.Err() == nil && r.code != http.StatusUnauthorized {
			return fmt.Errorf("an unknown token: %v", r)
		}
	}
	return ctx.Err()
}

// readNothing starts a command whose output is larger than all buffers on the way, and reads
// nothing of it.
func readNothing(ctx context.Context, _ *testing.T, to cluster.Access) error {
	e := rawclient.Exec{Pod: "shell", Command: []string{"head", "-c", fmt.Sprint(256 << 20), "/dev/zero"}}
	c, _, err := rawclient.DialWebSocket(ctx, to, e.URI(), "v5.channel.k8s.io")
	if err != nil {
		return err
	}
	defer c.Close()
	<-ctx.Done()
	return ctx.Err()
}

// fillStdin writes to a command that reads nothing, until ctx ends.
func fillStdin(ctx context.Context, _ *testing.T, to cluster.Access) error {
	_, err := rawclient.ByName(rawclient.Execs, "websocket v5").Exec(ctx, to, rawclient.Exec{
		Pod: "shell", Command: []string{"sleep", "600"}, Stdin: true,
		Do: func(s *rawclient.Session) error {
			for zeros := make([]byte, 32<<10); ; {
				if _, err := s.Write(zeros); err != nil {
					return err
				}
			}
		},
	})
	return err
}

// typeInVain types a key in a terminal that does not echo, whose program reads nothing.
func typeInVain(ctx context.Context, _ *testing.T, to cluster.Access) error {
	_, err := rawclient.ByName(rawclient.Execs, "websocket v5").Exec(ctx, to, rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", "stty -echo; echo ready; exec sleep 600"}, Stdin: true, TTY: true,
		Do: func(s *rawclient.Session) error {
			if err := s.Expect("ready"); err != nil {
				return err
			}
			if _, err := s.Write([]byte("x")); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	})
	return err
}
