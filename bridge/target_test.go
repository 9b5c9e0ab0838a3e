package bridge

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"edge/streams/spdy"
)

func TestParseTarget(t *testing.T) {
	exec := target{verb: verbExec, namespace: "ns", pod: "p"}
	for path, want := range map[string]struct {
		target
		disguised bool
	}{
		"/api/v1/namespaces/ns/pods/p/exec":           {exec, false},
		"/api/v1/namespaces/ns/pods/p/attach":         {target{verbAttach, "ns", "p"}, false},
		"/api/v1/namespaces/ns/pods/p/portforward":    {target{verbPortForward, "ns", "p"}, false},
		"/api/v1/namespaces/ns/pods/p/exec/":          {target{}, true},
		"/api/v1/namespaces/ns/pods/%70/exec":         {target{}, true},
		"/api/v1/namespaces/ns/pods/p%2Fexec":         {target{}, true},
		"/api/v1//namespaces/ns/pods/p/exec":          {target{}, true},
		"//api/v1/namespaces/ns/pods/p/exec":          {target{}, true},
		"/api/v1/namespaces/ns/pods/q/../p/exec":      {target{}, true},
		"/api/v1/namespaces/ns/pods/q/%2e%2e/p/exec":  {target{}, true},
		"/api/v1/namespaces/ns/pods/./exec":           {target{}, false},
		"/api/v1/namespaces/ns/pods/p":                {target{}, false},
		"/api/v1/namespaces/ns/pods/p/log":            {target{}, false},
		"/api/v1/namespaces/ns/pods/p/proxy/exec":     {target{}, false},
		"/api/v1/namespaces/ns/services/p/exec":       {target{}, false},
		"/api/v1/nodes/n/proxy/exec/ns/p/c":           {target{}, false},
		"/apis/x/v1/namespaces/ns/pods/p/exec":        {target{}, false},
		"/API/v1/namespaces/ns/pods/p/exec":           {target{}, false},
		"/api/v1/namespaces/ns/pods/p/EXEC":           {target{}, false},
		"/api/v1/namespaces/ns/pods/a/b/exec":         {target{}, false},
		"/api/v1/namespaces/%25/pods/p/exec":          {target{}, false},
		"/prefix/api/v1/namespaces/ns/pods/p/exec":    {target{}, false},
		"/api/v1/namespaces/ns/pods/p/exec/../attach": {target{}, true},
	} {
		u, err := url.Parse(path)
		if strings.HasPrefix(path, "//") {
			u, err = url.ParseRequestURI("https://h" + path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := parseTarget(u); got != want.target {
			t.Errorf("%s: %+v, want %+v", path, got, want.target)
		}
		if got := disguised(u); got != want.disguised {
			t.Errorf("%s: disguised %v, want %v", path, got, want.disguised)
		}
	}
}

func TestStreamSet(t *testing.T) {
	for query, want := range map[string]spdy.Set{
		"":                          {},
		"stdin=1&stdout=true":       {Stdin: true, Stdout: true},
		"stdin=&stdout=yes":         {Stdin: true, Stdout: true},
		"stdin=0&stdout=FALSE":      {},
		"stdin=false&stdin=true":    {},
		"stdout=1&stderr=1":         {Stdout: true, Stderr: true},
		"stdout=1&stderr=1&tty=1":   {Stdout: true, Terminal: true},
		"stdout=1&stderr=1&tty=0":   {Stdout: true, Stderr: true},
		"STDOUT=1&command=stdin%3D": {},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := streamSet(values); got != want {
			t.Errorf("%q: %+v, want %+v", query, got, want)
		}
	}
}

// TestWebSocketExecIsTranslatedOrRefused: no WebSocket exec or attach goes
// upstream as the GET that it is, for which an API server before 1.35 asks less
// than create.
func TestWebSocketExecIsTranslatedOrRefused(t *testing.T) {
	for path, c := range map[string]struct {
		protocols string
		kind      kind
		code      int // 0: not refused
	}{
		"/api/v1/namespaces/ns/pods/p/exec?a":          {"v5.channel.k8s.io", wsExec, 0},
		"/api/v1/namespaces/ns/pods/p/exec?b":          {"x, v4.channel.k8s.io", wsExec, 0},
		"/api/v1/namespaces/ns/pods/p/exec?c":          {"", 0, http.StatusForbidden},
		"/api/v1/namespaces/ns/pods/p/exec?d":          {"channel.k8s.io", 0, http.StatusForbidden},
		"/api/v1/namespaces/ns/pods/p/attach":          {"base64.channel.k8s.io, v4.base64.channel.k8s.io", 0, http.StatusForbidden},
		"/api/v1/namespaces/ns/pods/%70/exec":          {"v5.channel.k8s.io", 0, http.StatusBadRequest},
		"/api/v1/namespaces/ns/pods//p/exec":           {"v5.channel.k8s.io", 0, http.StatusBadRequest},
		"/api/v1/namespaces/ns/pods/p/portforward":     {"SPDY/3.1+portforward.k8s.io", wsTunnel, 0},
		"/api/v1/namespaces/ns/pods/p/portforward?v4":  {"v4.channel.k8s.io", opaque, 0},
		"/api/v1/namespaces/ns/services/s/proxy/p%2Fq": {"chat", opaque, 0},
	} {
		r := httptest.NewRequest("GET", "https://edge"+path, nil)
		r.Header = http.Header{
			"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		}
		if c.protocols != "" {
			r.Header.Set("Sec-Websocket-Protocol", c.protocols)
		}
		d, err := chooseDialect(r)
		var refused apierrors.APIStatus
		switch {
		case c.code == 0 && (err != nil || d.kind != c.kind):
			t.Errorf("%s, %q: kind %d, %v", path, c.protocols, d.kind, err)
		case c.code != 0:
			refused, _ = err.(apierrors.APIStatus)
			if refused == nil || int(refused.Status().Code) != c.code {
				t.Errorf("%s, %q: %v, want %d", path, c.protocols, err, c.code)
			}
		}
	}
}
