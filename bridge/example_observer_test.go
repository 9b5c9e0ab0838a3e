package bridge_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"edge/bridge"
	"edge/impersonate"
)

// meter is an Observer that counts requests, and refuses every stream to a pod in kube-system.
type meter struct {
	open sync.WaitGroup // the requests that have not ended

	mu     sync.Mutex
	counts map[string]int
}

func (m *meter) Begin(*http.Request) bridge.Observation {
	m.open.Add(1)
	return &metered{meter: m, kind: "plain request"}
}

// metered is the Observation of one request.
type metered struct {
	*meter
	kind string
}

// Identified accepts every request, because edge itself refuses a request without an identity.
func (m *metered) Identified(*http.Request, impersonate.Identity, error) error { return nil }

// Streaming refuses a stream to kube-system with a 403. edge sends the client the error as it is,
// and requests nothing from the API server.
func (m *metered) Streaming(s bridge.Stream) error {
	m.kind = s.Verb
	if s.Namespace == "kube-system" {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, s.Pod, errors.New("no "+s.Verb+" in kube-system"))
	}
	return nil
}

func (m *metered) Started(int) {}

// Ended counts the request by what it was, its status code, and why it ended.
func (m *metered) Ended(end bridge.End) {
	why := string(end.Refusal)
	if end.Stream != nil {
		why = string(end.Stream.Cause)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[fmt.Sprint(m.kind, " ", end.Code, " ", why)]++
	m.open.Done()
}

// ExampleObserver counts three execs by their ends. The Observer refuses one of them.
func ExampleObserver() {
	api := serveQuietly(execAPI)
	defer api.Close()
	m := &meter{counts: map[string]int{}}
	handler, err := bridge.New(bridge.Config{
		Upstream:  configFor(api),
		Streaming: bridge.StreamingWebSocket,
		Identify:  func(*http.Request) (impersonate.Identity, error) { return jane, nil },
		Review:    allowAll,
		Observe:   m, // or several: bridge.Observers(m, audit.NewAccessLog(log))
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer handler.Close()
	edge := httptest.NewTLSServer(handler)
	defer edge.Close()

	for _, namespace := range []string{"dev", "kube-system", "dev"} {
		conn, refused := dialExec(edge, namespace)
		if refused != nil {
			fmt.Println(refused)
			continue
		}
		readToEnd(conn)
	}
	m.open.Wait() // a stream ends a moment after its client has read everything
	fmt.Println(m.counts)
	// Output:
	// stdout: hello
	// status: Success
	// 403: pods "web" is forbidden: no exec in kube-system
	// stdout: hello
	// status: Success
	// map[exec 101 completed:2 exec 403 audit:1]
}
