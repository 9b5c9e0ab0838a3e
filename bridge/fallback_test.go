package bridge_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	upgradeproxy "k8s.io/apimachinery/pkg/util/proxy"
	translate "k8s.io/apiserver/pkg/util/proxy"
)

// TestKubeletRefusalIsFinal checks an exec that the kubelet refuses in plain text because the
// container does not run. Such a refusal does not mean that the path to the API server lacks a
// protocol. The client must receive the refusal, and edge must use the same protocol for other
// sessions. (The API server's translator would have answered 101 before it received the refusal.)
func TestKubeletRefusalIsFinal(t *testing.T) {
	t.Parallel()
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `container not found ("web")`)
	}))
	defer kubelet.Close()
	location := must(url.Parse(kubelet.URL + "/exec"))
	api := (&apiServer{run: exit7, release: "v1.35.0"}).start(t)
	w := newWorld(t, versioned{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/pods/crashed/") {
			api.ServeHTTP(w, r)
			return
		}
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			translate.NewStreamTranslatorHandler(location, nil, 0, translate.Options{Stdout: true}).ServeHTTP(w, r)
			return
		}
		upgradeproxy.NewUpgradeAwareHandler(location, nil, false, true, responder{}).ServeHTTP(w, r)
	})})
	c := dialRaw(t, w.edge)
	c.ask("", askSPDY(strings.Replace(execPath, "/web/", "/crashed/", 1), "v4.channel.k8s.io")...)
	resp := c.answer()
	if resp.StatusCode != 500 {
		t.Errorf("the kubelet's refusal does not arrive verbatim: %s", resp.Status)
	}
	c.Close()
	got := clientNamed("websocket v5").do(t, w.edge, command{stdin: strings.NewReader("x")})
	if line := w.ended(1); got.stdout != "out" || !strings.Contains(line, `upstream="SPDY`) {
		t.Errorf("another pod's session: %+v, %s", got, line)
	}
}

// TestWhoAsksFirstMayLeave checks edge's query for the API server's release, for which several
// clients wait. If the client whose request started the query disconnects, the query must continue
// for the others.
func TestWhoAsksFirstMayLeave(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: exit7, release: "v1.36.0"}).start(t)
	asked := make(chan struct{}, 10)
	var n atomic.Int32
	w := newWorld(t, versioned{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			asked <- struct{}{}
			if n.Add(1) == 1 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		carriers["takes SPDY off"](api).ServeHTTP(w, r)
	})})
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")...)
	<-asked
	c.Close()
	got := clientNamed("websocket v5").do(t, w.edge, command{})
	if got.stdout != "out" {
		t.Errorf("another client: %+v\n%s", got, w.log)
	}
}

// TestAutoForgetsWhenCut checks that edge finds a protocol that works after connections of upgrades
// were cut. It must do so after two cuts with SPDY, or after one cut with WebSocket, which edge
// uses only after SPDY has failed. The commands themselves are lost: edge does not send them again,
// because they may be running.
func TestAutoForgetsWhenCut(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: exit7, release: "v1.36.0"}).start(t)
	var carriesSPDY atomic.Bool
	w := newWorld(t, versioned{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isSPDY := strings.HasPrefix(r.Header.Get("Upgrade"), "SPDY/")
		if strings.Contains(r.URL.Path, "/pods/") && isSPDY != carriesSPDY.Load() {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
			return
		}
		api.ServeHTTP(w, r)
	})})
	for i, exec := range []struct {
		carried string
		lost    bool
	}{{"websocket", true}, {"websocket", true}, {"websocket", false}, {"SPDY", true}, {"SPDY", false}, {"SPDY", false}} {
		carriesSPDY.Store(exec.carried == "SPDY")
		if got := clientNamed("websocket v5").do(t, w.edge, command{}); (got.stdout != "out") != exec.lost {
			t.Errorf("%d, over %s: %+v", i, exec.carried, got)
		}
	}
}

// TestRefusalInYAML checks that edge recognizes a Status in YAML as the API server's own refusal,
// as in any other encoding.
func TestRefusalInYAML(t *testing.T) {
	t.Parallel()
	var count requestCounter
	v := &reviews{}
	api := &apiServer{release: "v1.36.0", refuse: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.WriteHeader(403)
		io.WriteString(w, "apiVersion: v1\ncode: 403\nkind: Status\nmessage: no\nmetadata: {}\nreason: Forbidden\nstatus: Failure\n")
	}}
	w := newWorld(t, versioned{count.streams(api.start(t))}, v.use)
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io", "Accept: application/yaml")...)
	resp := c.answer()
	if n, asked := count.take(), v.take(); n != 1 || asked != "jane: get pods/exec default/web" {
		t.Errorf("%s: %d requests upstream, reviewed %q", resp.Status, n, asked)
	}
	c.Close()
}

// TestRefusalWithoutEnd checks that edge sends an upstream refusal to the client as it arrives,
// even if its body never ends.
func TestRefusalWithoutEnd(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	for _, code := range []int{http.StatusServiceUnavailable, http.StatusForbidden} {
		w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, "busy")
			http.NewResponseController(w).Flush()
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}))
		c := dialRaw(t, w.edge)
		c.ask("", askSPDY(execPath, "v4.channel.k8s.io")...)
		resp := c.answer()
		b := make([]byte, 4)
		if _, err := io.ReadFull(resp.Body, b); resp.StatusCode != code || string(b) != "busy" {
			t.Errorf("%s: %q, %v", resp.Status, b, err)
		}
		c.Close()
	}
}
