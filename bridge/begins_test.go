package bridge_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// lines returns the fields of each line in edge's log that has the given message, without time and
// msg.
func (w *world) lines(message string) (all []map[string]string) {
	for line := range strings.Lines(w.log.String()) {
		if !strings.Contains(line, fmt.Sprintf("msg=%q", message)) {
			continue
		}
		fields := map[string]string{}
		for _, field := range logField.FindAllStringSubmatch(line, -1) {
			fields[field[1]] = field[2]
		}
		delete(fields, "time")
		delete(fields, "msg")
		all = append(all, fields)
	}
	return all
}

var logField = regexp.MustCompile(`([\w-]+)=("[^"]*"|\S*)`)

// TestSessionBegins checks that edge logs a session when it begins, not only at its end. The log
// line must name the user, the pod and the protocols on both sides.
func TestSessionBegins(t *testing.T) {
	t.Parallel()
	api, began := running(t)
	ann := jane
	ann.Nested, ann.Requestor = true, &user.DefaultInfo{Name: "ann"}
	for name, want := range map[string]map[string]string{
		"websocket v5": {"level": "INFO", "user": "jane", "requestor": "ann", "verb": "exec", "namespace": "default", "pod": "web", "proxied": `""`,
			"downstream": `"websocket v5.channel.k8s.io"`, "upstream": `"SPDY/3.1 v4.channel.k8s.io"`},
		"spdy exec": {"level": "INFO", "user": "jane", "verb": "exec", "namespace": "default", "pod": "web", "proxied": `""`,
			"downstream": `"SPDY/3.1 v4.channel.k8s.io"`, "upstream": `"SPDY/3.1 v4.channel.k8s.io"`},
	} {
		w := newWorld(t, api, func(c *bridge.Config) {
			if want["requestor"] != "" {
				c.Identify = func(*http.Request) (impersonate.Identity, error) { return ann, nil }
			}
		})
		c := dialRaw(t, w.edge)
		c.ask("", upgrades[name]...)
		c.answer()
		if name == "spdy exec" {
			open(t, c.framer(), "error", "stdin", "stdout", "stderr")
		}
		<-began // the session is still open
		w.eventually("the line", func() bool { return len(w.lines("session began")) > 0 })
		got := w.lines("session began")
		if len(got) != 1 || len(got[0]["session"]) != 16 || len(w.lines("session ended")) > 0 {
			t.Fatalf("%s: %v\n%s", name, got, w.log)
		}
		if uuid.Validate(got[0]["audit-ID"]) != nil {
			t.Errorf("%s: the Audit-ID is %q", name, got[0]["audit-ID"])
		}
		delete(got[0], "session")
		delete(got[0], "audit-ID")
		if !maps.Equal(got[0], want) {
			t.Errorf("%s: %v, want %v", name, got[0], want)
		}
		c.Close()
		w.ended(1)
	}
}

// TestEachBeginningEnds checks that each session, whatever the client's protocol, has one log line
// at its beginning and one at its end, and that both have the same values. A refused request must
// have neither.
func TestEachBeginningEnds(t *testing.T) {
	t.Parallel()
	api, _ := running(t)
	api.rest = echo
	w := newWorld(t, api)
	for _, ask := range upgrades {
		c := dialRaw(t, w.edge)
		c.ask("", ask...)
		c.answer()
		c.Close()
	}
	refused := dialRaw(t, w.edge)
	refused.ask("", askSPDY(execPath, "v7")...)
	refused.answer()
	w.ended(len(upgrades))
	began := map[string]map[string]string{}
	for _, line := range w.lines("session began") {
		began[line["session"]] = line
	}
	if len(began) != len(upgrades) {
		t.Errorf("%d of %d began\n%s", len(began), len(upgrades), w.log)
	}
	for _, line := range w.lines("session ended") {
		for name, value := range began[line["session"]] {
			if line[name] != value {
				t.Errorf("%s is %s at the begin and %s at the end", name, value, line[name])
			}
		}
		if len(began[line["session"]]) < 8 {
			t.Errorf("%v has no beginning", line)
		}
		delete(began, line["session"])
	}
	if len(began) > 0 {
		t.Errorf("these never ended: %v", began)
	}
}
