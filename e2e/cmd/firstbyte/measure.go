package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http/httptrace"
	"os"
	"time"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

const (
	mostSession    = 30 * time.Second
	kubectlVersion = "1.37"
)

// kind is a kind of exec session that the command measures: a dialect (protocol and subprotocol),
// with or without stdin.
type kind struct {
	name    string
	dialect string
	stdin   bool // true: run cat in the pod and send it one byte; false: run echo
}

var kinds = []kind{
	{"WebSocket v5, echo", "websocket v5", false},
	{"WebSocket v5, cat", "websocket v5", true},
	{"SPDY v4, echo", "spdy v4", false},
	{"SPDY v4, cat", "spdy v4", true},
}

// times are three times of one session, measured from the start of the dial: the end of the TLS
// handshake, the first byte of the 101 response, and the first byte of stdout.
type times struct{ connected, switched, stdout time.Duration }

func (k kind) session(ctx context.Context, to cluster.Access) (t times, err error) {
	ctx, cancel := context.WithTimeout(ctx, mostSession)
	defer cancel()
	e := rawclient.Exec{Pod: pod, Command: []string{"echo", "x"}, Stdin: k.stdin}
	if k.stdin {
		e.Command = []string{"cat"}
	}
	start := time.Now()
	e.Do = func(s *rawclient.Session) error {
		if k.stdin {
			if _, err := s.Write([]byte("x")); err != nil {
				return err
			}
		}
		if err := s.Expect("x"); err != nil {
			return err
		}
		t.stdout = time.Since(start)
		if k.stdin {
			return s.End()
		}
		return nil
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone:     func(tls.ConnectionState, error) { t.connected = time.Since(start) },
		GotFirstResponseByte: func() { t.switched = time.Since(start) },
	})
	o, err := rawclient.ByName(rawclient.Execs, k.dialect).Exec(ctx, to, e)
	if err == nil && (!o.OK() || o.Breach != "" || t.connected == 0 || t.switched == 0) {
		err = errors.New("the session did not succeed")
	}
	if err != nil {
		err = fmt.Errorf("%s at %s: %w\n%s", k.name, to.Server, err, o)
	}
	return t, err
}

// measure runs all rounds. Before it measures a kind of session in a round, it runs one direct
// session and one session through edge that it does not measure, so that the caches are filled.
func (s *stage) measure(ctx context.Context, o settings) (*report, error) {
	r := newReport(o)
	for round := range o.Rounds {
		for i, k := range kinds {
			for _, to := range s.ways() {
				if _, err := k.session(ctx, to); err != nil {
					return nil, err
				}
			}
			both, err := s.round(ctx, k, o.Sessions)
			if err != nil {
				return nil, err
			}
			r.Kinds[i].add(both)
			fmt.Fprintf(os.Stderr, "firstbyte: round %d of %d, %s: %s\n", round+1, o.Rounds, k.name, r.Kinds[i].latest())
		}
	}
	for range o.Kubectls {
		for way, to := range s.ways() {
			took, err := s.kubectl(ctx, to)
			if err != nil {
				return nil, err
			}
			r.Kubectl[way].add(took)
		}
	}
	return r, nil
}

func (s *stage) ways() [2]cluster.Access { return [2]cluster.Access{s.direct, s.over} }

// sample contains the measured values of one round's sessions of one kind, either direct or through
// edge.
type sample struct {
	times     []times
	edge, api time.Duration // CPU time that edge and the API server used for these sessions
}

// round measures the sessions of one kind in one round. Direct sessions and sessions through edge
// alternate, so that both run under the same conditions.
func (s *stage) round(ctx context.Context, k kind, sessions int) (both [2]sample, err error) {
	for range sessions {
		for way, to := range s.ways() {
			edge, api, err := s.cpu()
			if err != nil {
				return both, err
			}
			t, err := k.session(ctx, to)
			if err != nil {
				return both, err
			}
			edgeAfter, apiAfter, err := s.cpu()
			if err != nil {
				return both, err
			}
			both[way].times = append(both[way].times, t)
			both[way].edge += edgeAfter - edge
			both[way].api += apiAfter - api
		}
	}
	return both, nil
}

func (s *stage) cpu() (edge, api time.Duration, err error) {
	if edge, err = cpuOf(s.edge.Process.Pid()); err != nil {
		return 0, 0, err
	}
	api, err = cpuOf(s.cluster.APIServer().Pid())
	return edge, api, err
}

// kubectl returns how long one whole run of `kubectl exec` takes, from its start to its end.
func (s *stage) kubectl(ctx context.Context, to cluster.Access) (time.Duration, error) {
	config, err := s.tb.Kubeconfig(to)
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(config) }()
	start := time.Now()
	r := s.tb.Kubectl(kubectlVersion, config).Run(ctx, "exec", pod, "--", "true")
	took := time.Since(start)
	if r.Err != nil || r.Code != 0 {
		return 0, fmt.Errorf("kubectl exec at %s: exit code %d, %v: %s", to.Server, r.Code, r.Err, r.Stderr) //nolint:errorlint // r.Err may be nil
	}
	return took, nil
}
