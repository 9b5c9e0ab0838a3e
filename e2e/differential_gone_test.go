package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

// mostStillborn is how often clientGone repeats a session that ends before its client disconnects,
// which is frequent on a busy node.
const mostStillborn = 50

// clientGone cuts the client's connection during an exec and checks that the process in the pod
// ends. The process may end because its stdin ends or because the container runtime sends a signal;
// the order of the two is not defined.
func clientGone(ctx context.Context, r attempt) (rawclient.Observation, error) {
	file := "/tmp/" + r.name
	var o rawclient.Observation
	var err error
	cut := false
	// On a busy node, also without edge, a process sometimes has no stdin and ends at once, before
	// the client disconnects. Then repeat the session.
	for range mostStillborn {
		before := r.endLines()
		if o, err = r.cutClient(ctx, file); err != nil || o.Refusal != "" {
			return o, err
		}
		if cut = o.Close == 1006; cut && r.edge != nil {
			cut, err = r.awaitGoneLine(ctx, before)
		}
		if cut || err != nil {
			break
		}
	}
	if err != nil {
		return o, err
	}
	if !cut {
		return o, errors.New("the session ended before its client disconnected")
	}
	script := fmt.Sprintf("p=$(cat %s); rm %s; i=0; while kill -0 $p && [ $i != 600 ]; do sleep 0.1; i=$((i+1)); done; "+
		"kill -0 $p && echo still there || echo ended", file, file)
	after, err := rawclient.ByName(rawclient.Execs, "spdy v4").Exec(ctx, r.site.cluster.AdminAccess(), rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", script},
	})
	o.After = after.Stdout.Head
	return o, err
}

// cutClient starts an exec of a process that writes its process id to a file and reads stdin. Then
// it cuts the client's connection.
func (r attempt) cutClient(ctx context.Context, file string) (rawclient.Observation, error) {
	return r.d.Exec(ctx, r.to, rawclient.Exec{
		Pod: "shell", Stdin: true, Command: []string{"sh", "-c", "echo $$ >" + file + "; echo ready; cat >/dev/null"},
		Do: func(s *rawclient.Session) error {
			if err := s.Expect("ready"); err != nil {
				return err
			}
			s.Cut()
			return nil
		},
	})
}

func wantAfter(_ rawclient.Dialect, o rawclient.Observation) error {
	if o.After != "ended\n" {
		return fmt.Errorf("the process did not end, the check in the pod printed %q", o.After)
	}
	return nil
}

// ends counts edge's log lines "session ended". The field gone counts the lines whose cause is
// "client disconnected", the field other all other lines.
type ends struct{ gone, other int }

// endLines counts the log lines "session ended" that edge has written about sessions in the
// protocol (SPDY or WebSocket) of r.d.
func (r attempt) endLines() (n ends) {
	if r.edge == nil {
		return n
	}
	text, err := os.ReadFile(r.edge.Process.Log)
	if err != nil {
		return n
	}
	for line := range strings.Lines(string(text)) {
		var said struct{ Msg, Downstream, Cause string }
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "session ended" ||
			!strings.HasPrefix(said.Downstream, map[bool]string{true: "SPDY/3.1", false: "websocket"}[r.d.SPDY]) {
			continue
		}
		if said.Cause == "client disconnected" {
			n.gone++
		} else {
			n.other++
		}
	}
	return n
}

// awaitGoneLine waits until edge's log has one more line "session ended" than before. It returns
// true if the line's cause is "client disconnected".
func (r attempt) awaitGoneLine(ctx context.Context, before ends) (gone bool, err error) {
	for {
		switch now := r.endLines(); {
		case now.gone > before.gone:
			return true, nil
		case now.other > before.other:
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, errors.New("timed out waiting for edge's log line about the session's end")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestExecUpstreamGone checks what a client observes when the connection to the API server is cut
// during its exec, in each dialect.
func TestExecUpstreamGone(t *testing.T) {
	sc := scenario{
		name: "upstream gone", differs: func(pair) *difference { return unknowing },
		check: func(_ rawclient.Dialect, o rawclient.Observation) error {
			if o.Stdout.Head != "ready\n" || o.Close != 1006 {
				return errors.New("the session was not cut while its command ran")
			}
			return nil
		},
	}
	session := func(ctx context.Context, d rawclient.Dialect, to cluster.Access, ready func()) (rawclient.Observation, error) {
		return d.Exec(ctx, to, rawclient.Exec{
			Pod: "shell", Command: []string{"sh", "-c", "echo ready; sleep 20; echo too late"},
			Do: func(s *rawclient.Session) error {
				defer ready()
				return s.Expect("ready")
			},
		})
	}
	forEachSite(t, func(t *testing.T, s *site) {
		sc := sc
		// this session does not use edge: the relay is between the client and the API server
		sc.run = func(ctx context.Context, r attempt) (rawclient.Observation, error) {
			relay, err := bed.StartRelay(s.cluster)
			if err != nil {
				return rawclient.Observation{}, err
			}
			return session(ctx, r.d, relay.Through(r.to), relay.Cut)
		}
		for _, upstream := range upstreamProtocols {
			t.Run(upstream, func(t *testing.T) { cutAll(t, s, upstream, sc, session) })
		}
	})
}

// cutAll starts a session in each dialect through one edge, cuts edge's connection to the API
// server, and compares each observation with the one at the API server itself.
func cutAll(t *testing.T, s *site, upstream string, sc scenario,
	session func(context.Context, rawclient.Dialect, cluster.Access, func()) (rawclient.Observation, error),
) {
	relay, err := bed.StartRelay(s.cluster)
	if err != nil {
		t.Fatal(err)
	}
	edge := startStreamingEdge(t, s, upstream, relay.Through(s.cluster.AdminAccess()))
	got, errs := make([]rawclient.Observation, len(rawclient.Execs)), make([]error, len(rawclient.Execs))
	var ready, done sync.WaitGroup
	for i, d := range rawclient.Execs {
		ready.Add(1)
		done.Go(func() {
			once := sync.OnceFunc(ready.Done)
			// call once, which reports that this session is ready, also if the server refused the
			// session; otherwise the other sessions would wait for this one
			defer once()
			ctx, cancel := context.WithTimeout(t.Context(), mostScenario)
			defer cancel()
			got[i], errs[i] = session(ctx, d, edge.Access(tokens["alice"]), once)
		})
	}
	ready.Wait()
	relay.Cut()
	done.Wait()
	for i, d := range rawclient.Execs {
		t.Run(d.Name, func(t *testing.T) {
			p := pair{site: s, upstream: upstream, d: d, edge: edge}
			if errs[i] != nil {
				t.Fatalf("through edge: %v\n%v", errs[i], got[i])
			}
			p.judge(t, sc, p.own(t, "exec", sc), got[i])
		})
	}
}
