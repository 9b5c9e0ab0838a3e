package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/internal/testkit"
)

// receiver is a webhook. If the channel wait is set, the webhook receives from wait before each
// answer. The field fail is the number of posts, from the first on, that the webhook answers with
// 500.
type receiver struct {
	*httptest.Server
	wait <-chan struct{}

	mu       sync.Mutex
	fail     int
	posts    []int // number of events in each post so far
	now, max int   // posts being handled at this moment, and the most at any moment
	headers  http.Header
}

func newReceiver(t *testing.T, fail int, wait <-chan struct{}) *receiver {
	t.Helper()
	r := &receiver{fail: fail, wait: wait}
	r.Server = testkit.NewTLSServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var list auditv1.EventList
	if err := json.NewDecoder(req.Body).Decode(&list); err != nil || list.APIVersion != "audit.k8s.io/v1" || list.Kind != "EventList" {
		http.Error(w, fmt.Sprint("not a list of events: ", list.TypeMeta, err), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.headers = req.Header
	r.now++
	r.max = max(r.max, r.now)
	failing := r.fail > 0
	if failing {
		r.fail--
	}
	r.mu.Unlock()
	if r.wait != nil {
		select {
		case <-r.wait:
		case <-req.Context().Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	if failing {
		http.Error(w, "not yet", http.StatusInternalServerError)
		return
	}
	r.posts = append(r.posts, len(list.Items))
}

func (r *receiver) events() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, size := range r.posts {
		n += size
	}
	return n
}

func (r *receiver) underWay() (now, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.max
}

// kubeconfig returns the path of a kubeconfig for the webhook.
func (r *receiver) kubeconfig(t *testing.T) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["webhook"] = &clientcmdapi.Cluster{Server: r.URL + "/events", InsecureSkipTLSVerify: true}
	config.AuthInfos["edge"] = &clientcmdapi.AuthInfo{Token: "the-webhook-s-own"}
	config.Contexts["webhook"] = &clientcmdapi.Context{Cluster: "webhook", AuthInfo: "edge"}
	config.CurrentContext = "webhook"
	path := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWebhook checks that events are sent in batches by default, and that the last batch is sent
// when the backend shuts down.
func TestWebhook(t *testing.T) {
	hook := newReceiver(t, 0, nil)
	e, stop := newEvents(t, "--audit-webhook-config-file="+hook.kubeconfig(t), "--audit-webhook-batch-max-size=7")
	for range 10 {
		see(e, "/api")
	}
	stop()
	if hook.events() != 20 || len(hook.posts) < 3 || hook.headers.Get("Authorization") != "Bearer the-webhook-s-own" {
		t.Errorf("%v %v", hook.posts, hook.headers)
	}
}

// TestWebhookRetries checks that a failed post is retried, up to five attempts in all. The wait
// before a retry is set by the flag, or by its older name.
func TestWebhookRetries(t *testing.T) {
	for _, flag := range []string{"--audit-webhook-initial-backoff=1ms", "--audit-webhook-batch-initial-backoff=1ms"} {
		for fail, want := range map[int]int{attempts - 1: 2, 2 * attempts: 0} {
			hook := newReceiver(t, fail, nil)
			e, stop := newEvents(t, "--audit-webhook-config-file="+hook.kubeconfig(t), "--audit-webhook-mode=blocking", flag)
			if err := see(e, "/api"); err != nil {
				t.Error(err)
			}
			if got := hook.events(); got != want || hook.fail != 0 {
				t.Errorf("%s, %d failures: %d events, %d failures are left", flag, fail, got, hook.fail)
			}
			stop()
		}
	}
}

func TestWebhookStrict(t *testing.T) {
	hook := newReceiver(t, attempts, nil)
	e, _ := newEvents(t, "--audit-webhook-config-file="+hook.kubeconfig(t), "--audit-webhook-mode=blocking-strict", "--audit-webhook-initial-backoff=1ms")
	if err := see(e, "/api"); err == nil {
		t.Error("an event that could not be delivered refuses nothing")
	}
	if err := see(e, "/api"); err != nil || hook.events() != 2 {
		t.Error(err, hook.events())
	}
}

// TestWebhookRedirects checks that a redirect counts as a failure: edge sends events and the
// credential to no other host.
func TestWebhookRedirects(t *testing.T) {
	other := newReceiver(t, 0, nil)
	hook := &receiver{Server: testkit.NewTLSServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))}
	t.Cleanup(hook.Close)
	e, stop := newEvents(t, "--audit-webhook-config-file="+hook.kubeconfig(t), "--audit-webhook-mode=blocking-strict", "--audit-webhook-initial-backoff=1ms")
	defer stop()
	if err := see(e, "/api"); err == nil || other.events() != 0 {
		t.Errorf("%d events elsewhere, %v", other.events(), err)
	}
}

// TestSlowWebhook checks that a webhook that does not answer delays no request, and that the number
// of buffered events and of concurrent posts is limited.
func TestSlowWebhook(t *testing.T) {
	answer := make(chan struct{})
	hook := newReceiver(t, 0, answer)
	const buffer, requests = 10, 100
	e, stop := newEvents(t, "--audit-webhook-config-file="+hook.kubeconfig(t), "--audit-webhook-batch-max-size=1",
		fmt.Sprint("--audit-webhook-batch-buffer-size=", buffer), "--audit-webhook-batch-throttle-enable=false")
	for range requests {
		if err := see(e, "/api"); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WaitFor(t, "as many posts as may be", func() bool {
		see(e, "/api")
		now, _ := hook.underWay()
		return now == maxInFlight
	})
	for range requests {
		see(e, "/api")
	}
	close(answer)
	stop()
	const held = maxInFlight + 1 + buffer // most events that edge holds: one in each post, those in the buffer, and one that waits for a free post
	if _, most := hook.underWay(); most != maxInFlight || hook.events() < maxInFlight || hook.events() > held {
		t.Errorf("%d posts at once, %d events", most, hook.events())
	}
}

// TestDeadWebhookAtTheEnd checks that Run does not wait for a webhook for ever, and logs that
// events are lost.
func TestDeadWebhookAtTheEnd(t *testing.T) {
	hook := newReceiver(t, 0, make(chan struct{}))
	var log bytes.Buffer
	e, err := New(parse(t, "--audit-policy-file=testdata/policy.yaml", "--audit-webhook-config-file="+hook.kubeconfig(t)), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	e.flush = 10 * time.Millisecond
	see(e, "/api")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.Run(ctx)
	if !strings.Contains(log.String(), "could not be delivered") {
		t.Error(log.String())
	}
}

func TestWebhookConfigFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	os.WriteFile(empty, nil, 0o600)
	for _, file := range []string{filepath.Join(t.TempDir(), "none"), empty} {
		o := parse(t, "--audit-policy-file=testdata/policy.yaml", "--audit-webhook-config-file="+file)
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "--audit-webhook-config-file: ") || !strings.Contains(err.Error(), file) {
			t.Error(err)
		}
	}
}
