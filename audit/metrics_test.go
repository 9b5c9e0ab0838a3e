package audit

import (
	"context"
	"errors"
	"strings"
	"testing"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"

	"edge/internal/testkit"
)

// full is a file on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestLostEventsAreCounted checks that an event that is lost counts once, by the part that lost it.
// Kubernetes' counters are those of the whole process, so the test compares them with before.
func TestLostEventsAreCounted(t *testing.T) {
	hook := newReceiver(t, attempts, nil)
	posts, err := newWebhook(t.Context(), hook.kubeconfig(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	file := pluginlog.NewBackend(full{}, "json", auditv1.SchemeGroupVersion)
	for plugin, lose := range map[string]func(){
		"log":     func() { file.ProcessEvents(event("/")) },
		"webhook": func() { posts.ProcessEvents(event("/")) },
		"buffered": func() {
			parse(t, "--audit-log-batch-buffer-size=1", "--audit-log-mode=batch").Log.Delivery.wrap(context.Background(), file, 1, nil).ProcessEvents(event("/"), event("/"))
		},
		"truncate": func() {
			o := parse(t, "--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=100", "--audit-log-mode=blocking-strict")
			o.Log.Delivery.wrap(context.Background(), new(batches), 1, nil).ProcessEvents(event("/" + strings.Repeat("l", 1000)))
		},
	} {
		m := NewMetrics()
		lost := func(labels ...string) float64 {
			return testkit.MetricValue(t, m, "edge_audit_events_lost_total", labels...)
		}
		before, all := lost("plugin="+plugin), lost()
		lose()
		if got, sum := lost("plugin="+plugin)-before, lost()-all; got != 1 || sum != 1 {
			t.Errorf("%s: %v events are lost there, and %v in all", plugin, got, sum)
		}
	}
}

// holding is a backend that delivers when hold is closed.
type holding struct {
	audit.Backend
	hold chan struct{}
}

func (h holding) ProcessEvents(events ...*auditinternal.Event) bool {
	<-h.hold
	return true
}

// TestQueueIsCounted checks that the events in a buffer, and those that are being sent, count until
// they are sent, and those that did not fit do not count.
func TestQueueIsCounted(t *testing.T) {
	m := NewMetrics()
	queue := func() float64 { return testkit.MetricValue(t, m, "edge_audit_queue_events") }
	lost := func() float64 { return testkit.MetricValue(t, m, "edge_audit_events_lost_total", "plugin=buffered") }
	before := lost()
	m.queue.offered.Add(int64(before)) // Kubernetes' counter also has what other tests of this process lost
	if got := queue(); got != 0 {
		t.Fatalf("%v events at the begin", got)
	}
	hold, stop := make(chan struct{}), make(chan struct{})
	o := parse(t, "--audit-log-mode=batch", "--audit-log-batch-buffer-size=5", "--audit-log-batch-max-size=2", "--audit-log-batch-throttle-enable=false",
		"--audit-webhook-mode=batch", "--audit-webhook-batch-buffer-size=3", "--audit-webhook-batch-max-size=2", "--audit-webhook-batch-throttle-enable=false")
	var both []audit.Backend
	for _, d := range []Delivery{o.Log.Delivery, o.Webhook.Delivery} {
		both = append(both, d.wrap(context.Background(), holding{new(batches), hold}, 1, m.queued()))
	}
	b := audit.Union(both...)
	for range 7 {
		b.ProcessEvents(event("/"))
	}
	if got := queue(); got != 5+3 || lost()-before != 2+4 {
		t.Errorf("%v events are in buffers for 5 and 3, %v are lost", got, lost()-before)
	}
	if err := b.Run(stop); err != nil {
		t.Fatal(err)
	}
	if got := queue(); got != 5+3 {
		t.Errorf("%v events wait while none is delivered", got)
	}
	close(hold)
	close(stop)
	b.Shutdown()
	if got := queue(); got != 0 {
		t.Errorf("%v events after the end", got)
	}
}
