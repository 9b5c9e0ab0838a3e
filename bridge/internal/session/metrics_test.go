package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
	"time"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/internal/testkit"
)

// TestEveryCauseIsCounted checks that sessions count by each cause that the code has, and by each
// dialect, and none of these as another.
func TestEveryCauseIsCounted(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "endcause.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []Cause
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := c.Type.(*ast.Ident); ok && kind.Name == "Cause" {
				text, err := strconv.Unquote(c.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, Cause(text))
			}
		}
		return true
	})
	if len(all) == 0 || !slices.Equal(slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(Causes))) {
		t.Fatalf("the code has the causes %q, the metric %q", all, Causes)
	}
	m := NewMetrics()
	for _, cause := range all {
		for _, client := range negotiate.ClientNames() {
			for _, up := range negotiate.UpstreamNames() {
				d := Description{Downstream: client, Upstream: up}
				m.began(d)
				m.over(Summary{Description: d, Cause: cause})
			}
		}
	}
	each := float64(len(negotiate.ClientNames()) * len(negotiate.UpstreamNames()))
	for _, cause := range all {
		if got := testkit.MetricValue(t, m, "edge_sessions_ended_total", "cause="+string(cause)); got != each {
			t.Errorf("%s: %v sessions, not %v", cause, got, each)
		}
	}
	for _, other := range []string{"cause=other", "client=other", "upstream=other"} {
		if got := testkit.MetricValue(t, m, "edge_sessions_ended_total", other); got != 0 {
			t.Errorf("%v sessions have %s", got, other)
		}
	}
	if started, ended := testkit.MetricValue(t, m, "edge_sessions_started_total"), testkit.MetricValue(t, m, "edge_session_duration_seconds"); started != ended {
		t.Errorf("%v sessions have begun, %v have ended", started, ended)
	}
}

// TestKeepaliveFailuresAreCountedOnce checks that a session counts once, however often a write to its
// client fails, and not at all if it ends already for another reason.
func TestKeepaliveFailuresAreCountedOnce(t *testing.T) {
	for want, cause := range []error{errCompleted, nil} {
		m := NewMetrics()
		client, _ := connected(t)
		server, _ := connected(t)
		s := &session{Times: &Times{Linger: time.Second}, metrics: m, done: make(chan struct{}), down: leg.New(client, nil, nil), up: leg.New(server, nil, nil)}
		cut := make(chan struct{})
		s.setAwaitOpen(func() { close(cut) })
		if cause != nil {
			s.setCause(cause)
		}
		s.clientLost()
		s.clientLost()
		if want == 1 {
			<-cut // once: a second time would panic
		}
		if got := testkit.MetricValue(t, m, "edge_session_keepalive_failures_total", "side=client"); got != float64(want) {
			t.Errorf("with the cause %v: %v failures", cause, got)
		}
	}
}
