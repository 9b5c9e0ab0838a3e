package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

const kopAuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
`

// auditingEdge starts an edge with an audit policy that records all requests, and these flags.
func (k *kop) auditingEdge(args ...string) *testbed.Edge {
	k.Helper()
	return k.edge(append([]string{auditAll(k.T)}, args...)...)
}

// auditAll returns a flag of edge with an audit policy that records all requests.
func auditAll(t *testing.T) string {
	t.Helper()
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(kopAuditPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	return "--audit-policy-file=" + policy
}

// kopEvent contains the fields of an audit event that the tests of kube-oidc-proxy check.
type kopEvent struct {
	level, stage, verb, user string
	code                     int
	message                  string
}

// checkAudit sends a request that the API server refuses and a request that edge refuses, and waits
// for their audit events. The events must equal kube-oidc-proxy's, except for the name prefixes and
// for two fields that follow kube-apiserver. These are the verb, and the message of the second
// request; kube-oidc-proxy's message was "Authentication failed, attempted: bearer".
func (k *kop) checkAudit(e *testbed.Edge, events func() ([]cluster.AuditEvent, error)) {
	k.Helper()
	uri := "/api/v1/namespaces/" + k.namespace + "/pods"
	var got []cluster.AuditEvent
	await := func(n int) {
		k.Helper()
		eventually(k.Context(), k.T, patience, "audit events", func(context.Context) error {
			all, err := events()
			got = slices.DeleteFunc(all, func(event cluster.AuditEvent) bool { return event.RequestURI != uri })
			if err == nil && len(got) < n {
				err = fmt.Errorf("%d of %d: %+v", len(got), n, got)
			}
			return err
		})
	}
	if a := raw(k.Context(), k.T, e.Access(k.token(nil)), "GET", uri, askJSON); a.code != 403 {
		k.Fatal(a)
	}
	// wait for both events of this request before the next request, because edge may write the
	// second event after the response
	await(2)
	if a := raw(k.Context(), k.T, e.Access("foo"), "GET", uri, askJSON); a.code != 401 {
		k.Fatal(a)
	}
	await(3)
	want := []kopEvent{
		{"RequestResponse", "RequestReceived", "list", kopUser, 0, ""},
		{"RequestResponse", "ResponseComplete", "list", kopUser, 403, ""},
		{"RequestResponse", "ResponseStarted", "list", "", 401, "Unauthorized"},
	}
	var seen []kopEvent
	for _, event := range got {
		s := kopEvent{event.Level, event.Stage, event.Verb, event.User.Username, 0, ""}
		if status := event.ResponseStatus; status != nil {
			s.code = status.Code
			// edge itself sends the 401, so compare the message; the test does not compare the API
			// server's own messages
			if s.code == 401 {
				s.message = status.Message
			}
		}
		seen = append(seen, s)
		if s.user != "" {
			if err := has(event.User.Groups, testbed.GroupsPrefix+"group-1", testbed.GroupsPrefix+"group-2"); err != nil {
				k.Errorf("%+v: groups: %v", s, err)
			}
		}
	}
	if !slices.Equal(seen, want) {
		k.Errorf("events\n%+v\nwant\n%+v", seen, want)
	}
}

func kopAuditFile(k *kop) {
	file := filepath.Join(k.TempDir(), "audit.log")
	e := k.auditingEdge("--audit-log-path=" + file)
	k.checkAudit(e, func() ([]cluster.AuditEvent, error) {
		return cluster.ReadAudit(file, func(cluster.AuditEvent) bool { return true })
	})
}

func kopAuditWebhook(k *kop) {
	w, to := startAuditWebhook(k)
	kubeconfig, err := bed.Kubeconfig(to)
	if err != nil {
		k.Fatal(err)
	}
	e := k.auditingEdge("--audit-webhook-config-file="+kubeconfig, "--audit-webhook-initial-backoff=1s", "--audit-webhook-batch-max-wait=1s")
	k.checkAudit(e, w.read)
}

// auditWebhook is an HTTP server that stores the audit events that edge sends to it.
type auditWebhook struct {
	mu     sync.Mutex
	events []cluster.AuditEvent
	err    error // error in edge's last request to this server; nil: no error
}

func startAuditWebhook(k *kop) (*auditWebhook, cluster.Access) {
	pair, err := bed.CA.Issue("webhook")
	if err != nil {
		k.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		k.Fatal(err)
	}
	w := &auditWebhook{}
	server := httptest.NewUnstartedServer(w)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	k.Cleanup(server.Close)
	return w, cluster.Access{Server: server.URL, CA: bed.CA.PEM}
}

// ServeHTTP receives audit events as an EventList (audit.k8s.io/v1) and stores them.
func (w *auditWebhook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	var list struct {
		Kind  string
		Items []cluster.AuditEvent
	}
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err == nil && list.Kind != "EventList" {
		err = fmt.Errorf("received kind %q, want EventList", list.Kind)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events, w.err = append(w.events, list.Items...), err
}

func (w *auditWebhook) read() ([]cluster.AuditEvent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]cluster.AuditEvent(nil), w.events...), w.err
}
