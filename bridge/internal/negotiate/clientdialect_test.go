package negotiate

import (
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// TestWebSocketStreamsAreRead checks that edge parses every WebSocket for exec, attach or
// port-forward. If edge relayed such a request without parsing it, the request would stay a GET,
// for which an API server before 1.35 does not check the permission create.
func TestWebSocketStreamsAreRead(t *testing.T) {
	for path, c := range map[string]struct {
		protocols string
		Kind      Kind
		code      int // HTTP status of the refusal; 0: the request is not refused
	}{
		"/api/v1/namespaces/ns/pods/p/exec?a":              {"v5.channel.k8s.io", WebSocketExec, 0},
		"/api/v1/namespaces/ns/pods/p/exec?b":              {"x, v4.channel.k8s.io", WebSocketExec, 0},
		"/api/v1/namespaces/ns/pods/p/exec?c":              {"", WebSocketExec, 0},
		"/api/v1/namespaces/ns/pods/p/exec?d":              {"channel.k8s.io", WebSocketExec, 0},
		"/api/v1/namespaces/ns/pods/p/exec?e":              {"chat", 0, http.StatusForbidden},
		"/api/v1/namespaces/ns/pods/p/attach":              {"base64.channel.k8s.io, v4.base64.channel.k8s.io", WebSocketExec, 0},
		"/api/v1/namespaces/ns/pods/%70/exec":              {"v5.channel.k8s.io", 0, http.StatusBadRequest},
		"/api/v1/namespaces/ns/pods//p/exec":               {"v5.channel.k8s.io", 0, http.StatusBadRequest},
		"/api/v1/namespaces/ns/pods/p/portforward?t":       {"SPDY/3.1+portforward.k8s.io", Tunnel, 0},
		"/api/v1/namespaces/ns/pods/p/portforward?ports=1": {"v5.channel.k8s.io, v4.channel.k8s.io", WebSocketPorts, 0},
		"/api/v1/namespaces/ns/pods/p/portforward?ports=2": {"", WebSocketPorts, 0},
		"/api/v1/namespaces/ns/pods/p/portforward?ports=3": {"v5.channel.k8s.io", 0, http.StatusForbidden},
		"/api/v1/namespaces/ns/pods/p/portforward":         {"v4.channel.k8s.io", 0, http.StatusBadRequest},
		"/api/v1/namespaces/ns/services/s/proxy/p%2Fq":     {"chat", Opaque, 0},
	} {
		r := httptest.NewRequest("GET", "https://edge"+path, nil)
		r.Header = http.Header{
			"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
		}
		if c.protocols != "" {
			r.Header.Set("Sec-Websocket-Protocol", c.protocols)
		}
		d, err := Choose(r)
		var refused apierrors.APIStatus
		switch {
		case c.code == 0 && (err != nil || d.Kind != c.Kind):
			t.Errorf("%s, %q: kind %d, %v", path, c.protocols, d.Kind, err)
		case c.code != 0:
			refused, _ = err.(apierrors.APIStatus)
			if refused == nil || int(refused.Status().Code) != c.code {
				t.Errorf("%s, %q: %v, want %d", path, c.protocols, err, c.code)
			}
		}
	}
}
