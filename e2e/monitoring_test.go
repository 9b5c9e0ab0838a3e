package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/rawclient"
	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/monitoring"
	"edge/e2e/testbed/network"
)

// TestEveryQueryHasData checks the dashboard and the alerts with a real Prometheus and an edge under
// load. Each query of the dashboard must return a value. So must both sides of each comparison of
// an alert; otherwise the alert could never fire, because of a name or a label that edge does not
// have.
func TestEveryQueryHasData(t *testing.T) {
	t.Parallel()
	l := startMeasuredLoad(t)
	rules := monitoringFile(t, "rules.yaml")
	prometheus := startPrometheus(t, monitoring.PrometheusOptions{Targets: []string{l.edge.Probes}, Rules: []string{rules}})
	l.run()

	queries := map[string]string{}
	for title, exprs := range readDashboard(t) {
		for i, expr := range exprs {
			// a panel that shows 0 for a metric without series must also show the metric
			queries[fmt.Sprintf("panel %s, query %d", title, i)] = strings.ReplaceAll(filledIn(expr, ".*"), " or vector(0)", "")
		}
	}
	maps.Copy(queries, alertQueries(t, prometheus, rules))
	eventually(t.Context(), t, patience, "every query returns data", func(ctx context.Context) error {
		var missing []error
		for name, query := range queries {
			if err := hasData(ctx, prometheus, query); err != nil {
				missing = append(missing, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(missing...)
	})
	loaded, err := prometheus.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range loaded {
		if r.Health != "ok" {
			t.Errorf("alert %s: %s: %s", r.Name, r.Health, r.LastError)
		}
	}
}

var comparison = regexp.MustCompile(` (==|!=|<=|>=|<|>) `)

// alertQueries returns, by name, queries that have data if the expressions of all alerts have. The
// modifier bool makes a comparison return 0 or 1, and not drop what does not fulfil it: it has data
// exactly if both of its sides have. An "or" becomes two queries, and absent() its argument.
func alertQueries(t *testing.T, prometheus *monitoring.Prometheus, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := prometheus.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("- alert: ")); len(rules) != n || n == 0 {
		t.Fatalf("Prometheus has loaded %d rules of %d", len(rules), n)
	}
	queries := map[string]string{}
	for _, r := range rules {
		for i, operand := range strings.Split(r.Query, " or ") {
			if inner, ok := strings.CutPrefix(operand, "absent("); ok {
				operand = strings.TrimSuffix(inner, ")")
			} else if !comparison.MatchString(operand) {
				t.Errorf("alert %s: there is no comparison in %s", r.Name, operand)
			}
			queries[fmt.Sprintf("alert %s, operand %d", r.Name, i)] = comparison.ReplaceAllString(operand, " $1 bool ")
		}
	}
	return queries
}

// measuredLoad is an edge and a load that changes each metric of the dashboard and of the alerts.
type measuredLoad struct {
	*kop
	edge  *testbed.Edge
	relay *network.Relay // between edge and the API server
	robot string         // a ServiceAccount's token

	ctx     context.Context
	running sync.WaitGroup
}

// startMeasuredLoad starts an edge with the options that have metrics: several ways to log in, and
// an audit webhook.
func startMeasuredLoad(t *testing.T) *measuredLoad {
	t.Helper()
	s := sites[cluster.New]
	l := &measuredLoad{kop: &kop{T: t, s: s, namespace: "monitored"}}
	if err := s.cluster.EnsureNamespace(t.Context(), l.namespace); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.relay, err = bed.StartRelay(s.cluster); err != nil {
		t.Fatal(err)
	}
	l.grantOptions()
	_, l.robot = l.account()
	_, webhook := startAuditWebhook(l.kop)
	kubeconfig, err := bed.Kubeconfig(webhook)
	if err != nil {
		t.Fatal(err)
	}
	l.edge = startEdge(t, testbed.EdgeOptions{
		Cluster: s.cluster, Upstream: l.relay.Through(s.cluster.AdminAccess()),
		Args: []string{
			"--authentication-config=" + anonymousConfiguration(t), "--token-passthrough",
			auditAll(t), "--audit-webhook-config-file=" + kubeconfig,
		},
	})
	return l
}

// run starts the load, which ends with the test.
func (l *measuredLoad) run() {
	var cancel context.CancelFunc
	l.ctx, cancel = context.WithCancel(l.Context())
	l.Cleanup(func() {
		cancel()
		l.running.Wait()
	})
	alice := l.edge.Access(tokens["alice"])
	l.requests(tokens["alice"], podsURI)
	l.requests(tokens["alice"], podsURI+"/shell")
	l.requests(tokens["alice"], podsURI+"/http:shell:1/proxy/") // 503: nothing listens there
	l.requests(tokens["alice"], podsURI, "Impersonate-User: somebody")
	l.requests("no token of an issuer", podsURI)
	l.requests("", openPaths[0])
	l.requests(l.robot, podsURI)
	l.repeat(func() {
		h := newHand(l.T, alice)
		f := h.follow(l.ctx, "/api/v1/namespaces/"+cluster.Namespace+"/configmaps?watch=true")
		for ok := true; ok && l.ctx.Err() == nil; {
			_, ok = f.next(l.ctx)
		}
	})
	n := 0
	l.repeat(func() {
		d := rawclient.Execs[n%len(rawclient.Execs)]
		n++
		_, _ = d.Exec(l.ctx, alice, rawclient.Exec{Pod: "shell", Command: []string{"echo", "done"}})
	})
	forwards := 0
	l.repeat(func() {
		d := rawclient.Forwards[forwards%len(rawclient.Forwards)]
		forwards++
		_, _ = d.Forward(l.ctx, alice, rawclient.Forward{Pod: "shell", Ports: []int{echoPort}, Do: func(_ int, c *rawclient.Connection) error {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			return c.Await(5)
		}})
	})
	l.repeat(func() { _ = l.terminal(alice, nil) })
	l.running.Go(func() {
		// a stream whose connection to the API server breaks
		if err := l.terminal(alice, l.relay.Cut); err == nil {
			l.Error("the stream outlived its connection to the API server")
		}
	})
}

// repeat calls do again and again until the load ends. What do observes does not matter: the test
// checks what Prometheus has counted.
func (l *measuredLoad) repeat(do func()) {
	l.running.Go(func() {
		for ok := true; ok; ok = pause(l.ctx, 200*time.Millisecond) {
			do()
		}
	})
}

// requests sends a request with this token again and again.
func (l *measuredLoad) requests(token, uri string, header ...string) {
	h := newHand(l.T, l.edge.Access(token))
	l.repeat(func() { h.do(l.ctx, http.MethodGet, uri, nil, header...) })
}

// terminal types keys in a terminal that echoes them, until the session ends. It calls begun, unless
// that is nil, after the first echo.
func (l *measuredLoad) terminal(to cluster.Access, begun func()) error {
	o, err := rawclient.ByName(rawclient.Execs, "websocket v5").Exec(l.ctx, to, rawclient.Exec{
		Pod: "shell", Command: []string{"cat"}, Stdin: true, TTY: true,
		Do: func(s *rawclient.Session) error {
			for first := true; ; first = false {
				if _, err := s.Write([]byte("x")); err != nil {
					return err
				}
				if first {
					if err := s.Expect("x"); err != nil {
						return err
					}
					if begun != nil {
						begun()
					}
				}
				if !pause(l.ctx, 200*time.Millisecond) {
					return l.ctx.Err()
				}
			}
		},
	})
	if err == nil && !o.OK() {
		err = fmt.Errorf("%v", o)
	}
	return err
}
