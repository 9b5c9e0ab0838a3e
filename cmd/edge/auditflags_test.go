package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"edge/internal/testkit"
)

// TestAuditFlags checks that audit events reach a file and a webhook, as the policy requires. The
// tests of package audit check the effect of each flag.
func TestAuditFlags(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	var posted atomic.Int64
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		posted.Add(int64(strings.Count(string(body), `"requestURI":"/api`)))
	}))
	hook.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	testkit.StartTLS(hook)
	defer hook.Close()
	file := filepath.Join(b.dir, "audit.log")
	policy := b.file("policy.yaml", `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, nonResourceURLs: [/version]}
- {level: Metadata}
`)
	webhook := b.file("webhook.yaml", fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c}}]
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
`, hook.URL, b.authority("hook.crt", hook)))
	e := b.serve("--audit-policy-file="+policy, "--audit-log-path="+file, "--audit-webhook-config-file="+webhook, "--audit-webhook-mode=blocking")
	e.upstreamOf(b.token(nil), "/api")
	e.upstreamOf(b.token(nil), "/version")
	if resp, _ := e.ask("", "/api"); resp.StatusCode != http.StatusUnauthorized {
		t.Error(resp.Status)
	}
	e.stop()

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for line := range strings.Lines(string(text)) {
		var event struct {
			RequestURI     string
			Stage          string
			User           struct{ Username string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err, line)
		}
		said = append(said, fmt.Sprint(event.RequestURI, event.Stage, event.User.Username, event.ResponseStatus.Code))
	}
	want := []string{"/apiResponseCompletejane200", "/apiResponseStarted401"}
	if strings.Join(said, " ") != strings.Join(want, " ") {
		t.Errorf("events %q, want %q", said, want)
	}
	if got := posted.Load(); got != int64(len(want)) {
		t.Errorf("the webhook got %d events", got)
	}
}
