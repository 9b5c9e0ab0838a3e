package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

// TestOtherWebSockets checks WebSockets other than exec, attach and port-forward, such as a watch:
// a client must observe the same through edge as at the API server.
func TestOtherWebSockets(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		prepareOthers(t, s)
		own := s.ownAccess(t, "alice", "dev")
		for _, o := range otherWebSockets {
			want := o.transcript(t, own)
			if o.check != "" && !strings.Contains(want, o.check) {
				t.Fatalf("%s: the API server itself: %s, want %q", o.name, want, o.check)
			}
			for _, path := range paths {
				if got := o.transcript(t, s.access(path, tokens["alice"])); got != want {
					t.Errorf("%s, %s:\n%s\nthe API server itself:\n%s", o.name, path, got, want)
				}
			}
		}
	})
}

// otherWebSocket describes a WebSocket that a client opens, and the messages that the client sends.
type otherWebSocket struct {
	name  string
	uri   string
	offer []string
	// messages that the client sends, each once as text and once as binary; the server answers each
	say   []string
	hear  int    // number of messages that the client reads if the field say is empty
	check string // text that must be in the transcript of the API server itself
}

// big is a message of 1 MiB, larger than any buffer between the client and the pod.
var big = strings.Repeat("0123456789abcdef", 1<<16)

var otherWebSockets = []otherWebSocket{
	{name: "services/proxy", uri: servicesURI + "/http:echo:8081/proxy/some/path?q=1", offer: []string{"echo"}, say: []string{"hello", "", big}, check: "X-Path /some/path"},
	{name: "pods/proxy", uri: podsURI + "/http:shell:8081/proxy/other", say: []string{"hello", "", big}, check: "X-Path /other"},
	{name: "a service that is not there", uri: servicesURI + "/http:none:8081/proxy/", check: "404"},
	{name: "watch", uri: "/api/v1/namespaces/" + cluster.Namespace + "/configmaps?watch=true&fieldSelector=metadata.name%3Dwatched", hear: 1, check: "ADDED"},
	{name: "log", uri: podsURI + "/" + loggerPod + "/log?follow=true", hear: 2, check: "a line"},
	{name: "log, base64", uri: podsURI + "/" + loggerPod + "/log?follow=true", offer: []string{"base64.binary.k8s.io"}, hear: 2, check: "YSBsaW5l"},
}

const (
	servicesURI = "/api/v1/namespaces/" + cluster.Namespace + "/services"
	loggerPod   = "logger"
)

// prepareOthers creates a service for the pod "shell", a ConfigMap to watch, and a pod with a log.
func prepareOthers(t *testing.T, s *site) {
	t.Helper()
	ctx, core := t.Context(), s.cluster.Client.CoreV1()
	_, err := core.Services(cluster.Namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "echo"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "shell"}, Ports: []corev1.ServicePort{{Port: 8081}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	own := s.ownAccess(t, "alice", "dev")
	eventually(ctx, t, patience, "an endpoint of the service", func(ctx context.Context) error {
		if got := raw(ctx, t, own, "GET", servicesURI+"/http:echo:8081/proxy/"); got.code == http.StatusServiceUnavailable {
			return fmt.Errorf("the API server's proxy says %v", got)
		}
		return nil
	})
	watched := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "watched"}}
	if _, err := core.ConfigMaps(cluster.Namespace).Create(ctx, watched, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.cluster.StartPod(ctx, cluster.PodOptions{Name: loggerPod, Script: "echo a line; trap 'exit 0' TERM; sleep 2147483647 & wait"}); err != nil {
		t.Fatal(err)
	}
}

// transcript runs the WebSocket against a server and returns a description of everything that the
// client observes.
func (o otherWebSocket) transcript(t *testing.T, to cluster.Access) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, header, err := rawclient.DialWebSocket(ctx, to, o.uri, o.offer...)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(patience))
	c.SetReadLimit(8 << 20)
	var b strings.Builder
	fmt.Fprintf(&b, "subprotocol %q\nX-Path %s\n", c.Subprotocol(), header.Get("X-Path"))
	hear := func() {
		kind, message, err := c.ReadMessage()
		if len(message) > 2000 && string(message) == big {
			message = []byte("big")
		}
		fmt.Fprintf(&b, "type %d, %.2000q, %v\n", kind, message, err)
	}
	for _, word := range o.say {
		for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			if err := c.WriteMessage(kind, []byte(word)); err != nil {
				return err.Error()
			}
			hear()
		}
	}
	for range o.hear {
		hear()
	}
	// send a close frame only if a pod answers, which sends the same close code back; the API
	// server's own streams, such as a watch, do not wait for a close frame
	if len(o.say) > 0 {
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "enough"), time.Now().Add(5*time.Second))
		_, _, err := c.ReadMessage()
		fmt.Fprintf(&b, "then %v\n", err)
	}
	return b.String()
}
