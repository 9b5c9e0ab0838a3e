package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	v1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// TestDroppedGroups checks that the groups that were removed from a user are in the access log line
// and in each event, quoted and limited. If no group was removed, neither has a field for them.
func TestDroppedGroups(t *testing.T) {
	policy, err := impersonate.NewPolicy(impersonate.PolicyConfig{DropUnusable: true})
	if err != nil {
		t.Fatal(err)
	}
	many := append([]string{"", "dev ", "a\"b\n", "x" + canary + " ", strings.Repeat("\u202e", 1<<20) + " "}, make([]string, 1<<16)...)
	for name, test := range map[string]struct {
		groups  []string
		dropped []string // groups in the field droppedGroups; nil: there is no such field
	}{
		"none":   {[]string{"dev"}, nil},
		"some":   {[]string{"night shift ", "dev", ""}, []string{"night shift ", ""}},
		"quotes": {[]string{"a\",\"b ", "dev", "\x1b[2J"}, []string{"a\",\"b ", "\x1b[2J"}},
		"many":   {append(many, "dev"), []string{"", "dev ", "a\"b\n", "xREDACTED "}},
	} {
		var events memory
		var printed bytes.Buffer
		log := NewAccessLog(slog.New(handlers(&printed)["json"]))
		edge := newEdge(t, newAPI(t, answer), bridge.Observers(log, eventsTo(&events, rulesOf(t, policies["everything"]))), func(cfg *bridge.Config) {
			cfg.Identify = func(r *http.Request) (impersonate.Identity, error) {
				return policy.Identity(r.Context(), &user.DefaultInfo{Name: "jane", Groups: test.groups}, impersonate.Request{Header: r.Header})
			}
		})
		edge.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v1/pods?watch=true", nil))
		if len(printed.String()) > maxLine {
			t.Errorf("%s: a line of %d bytes", name, printed.Len())
		}
		var line struct{ Groups, DroppedGroups []string }
		if err := json.Unmarshal(printed.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v %s", name, err, printed.String())
		}
		checkDropped(t, name+", the access log", line.DroppedGroups, test.dropped)
		all := events.take(t)
		if len(all) != 3 {
			t.Errorf("%s: %d events", name, len(all))
		}
		for _, text := range all {
			var event v1.Event
			if err := json.Unmarshal([]byte(text), &event); err != nil {
				t.Fatal(err)
			}
			annotation, ok := event.Annotations["edge.identity/dropped-groups"]
			var dropped []string
			if ok != (test.dropped != nil) || ok && json.Unmarshal([]byte(annotation), &dropped) != nil || len(annotation) > maxLine {
				t.Errorf("%s: %d bytes, %.200q", name, len(annotation), annotation)
			}
			checkDropped(t, name+", "+string(event.Stage), dropped, test.dropped)
			if !reflect.DeepEqual(event.User.Groups, []string{"dev", "system:authenticated"}) || !reflect.DeepEqual(line.Groups, []string{"dev"}) {
				t.Errorf("%s: the user is in %q, and %q", name, event.User.Groups, line.Groups)
			}
		}
	}
}

// checkDropped checks that the logged groups, the parameter got, begin with all groups in the
// parameter want, and that their number is within the access log's limit.
func checkDropped(t *testing.T, name string, got, want []string) {
	t.Helper()
	if len(got) < len(want) || len(got) > maxItems+1 || want == nil && got != nil || len(want) > 0 && !reflect.DeepEqual(got[:len(want)], want) {
		t.Errorf("%s: %d groups, %.300q, want %q", name, len(got), got, want)
	}
	if len(got) > len(want) && got[len(got)-1] != ellipsis {
		t.Errorf("%s: it is not told that there were more: %q", name, got[len(got)-1])
	}
}
