package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/rawclient"
	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// observers are the parts of edge that observe requests, each switched on or off by flags. Every one
// that is on wraps or follows each request.
type observers struct{ accessLog, audit, metrics, tracing bool }

func (o observers) String() string {
	return fmt.Sprintf("access log %t, audit %t, metrics %t, tracing %t", o.accessLog, o.audit, o.metrics, o.tracing)
}

// observedEdge is an edge with some of its observers, and where these write.
type observedEdge struct {
	*testbed.Edge
	on        observers
	audit     string     // path of the audit log
	collector *collector // receives the spans
}

// startObserved starts an edge with the observers on. An edge without audit events has an
// --audit-log-path but no policy; one without tracing has the environment variables with which
// OpenTelemetry's own exporters would send spans to the collector.
func startObserved(t *testing.T, c *cluster.Cluster, on observers, args ...string) observedEdge {
	t.Helper()
	policy, log := auditFiles(t, everything)
	e := observedEdge{on: on, audit: log, collector: startCollector(t)}
	o := testbed.EdgeOptions{Cluster: c, Issuer: idp, Args: append(args,
		fmt.Sprintf("--access-log=%t", on.accessLog), fmt.Sprintf("--enable-metrics=%t", on.metrics), "--audit-log-path="+log)}
	if on.audit {
		o.Args = append(o.Args, "--audit-policy-file="+policy)
	}
	if on.tracing {
		o.Args = append(o.Args, "--tracing-endpoint="+e.collector.url, "--tracing-sampling-rate-per-million=1000000")
	} else {
		o.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + e.collector.url, "OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=always_on"}
	}
	e.Edge = startEdge(t, o)
	return e
}

// stop ends edge, which then writes and sends everything that it has recorded.
func (e observedEdge) stop() { e.Process.Stop(patience) }

// accessLines returns the lines of edge's access log, decoded.
func (e observedEdge) accessLines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for _, line := range accessLines(t, e.Edge) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines = append(lines, fields)
	}
	return lines
}

// tally counts the requests that were sent, or that one of edge's observers recorded. A key is the
// code of the answer, a space, and the path or another name for what was requested.
type tally map[string]int

func (n tally) add(code any, what string) { n[fmt.Sprint(code, " ", what)]++ }

// TestObserversPassEverything switches each combination of the access log, audit events, metrics and
// traces on, and sends requests of all kinds. An observer that wraps the answer's writer must not
// lose Hijack, which an upgrade needs, or Flush, which a watch needs. Each observer that is on must
// have recorded each request, and the others nothing.
func TestObserversPassEverything(t *testing.T) {
	t.Parallel()
	for n := range 16 {
		on := observers{accessLog: n&8 != 0, audit: n&4 != 0, metrics: n&2 != 0, tracing: n&1 != 0}
		t.Run(slug(on.String()), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c := sites[cluster.New].cluster
			e := startObserved(t, c, on)
			sent := sendEverything(ctx, t, c, e.Access(tokens["alice"]), fmt.Sprintf("observed-%d", n))
			e.checkMetrics(ctx, t)
			e.stop()
			e.checkRecords(t, sent)
		})
	}
}

// sendEverything sends one request of each kind through edge, checks the answers, and returns the
// codes and paths of the requests. name is the name of a ConfigMap that it creates and watches.
func sendEverything(ctx context.Context, t *testing.T, c *cluster.Cluster, to cluster.Access, name string) tally {
	t.Helper()
	sent := tally{}
	for _, dialect := range []string{v5, "spdy v4"} {
		o, err := rawclient.ByName(rawclient.Execs, dialect).Exec(ctx, to, rawclient.Exec{Pod: "shell", Command: []string{"sh", "-c", "echo out; exit 7"}})
		if err != nil || o.Stdout.Head != "out\n" || o.Status == nil || !strings.Contains(o.Status.Message, "exit code 7") {
			t.Errorf("exec, %s: %v\n%v", dialect, err, o)
		}
		sent.add(101, podsURI+"/shell/exec")
	}
	for _, dialect := range []string{"spdy", "tunnel"} {
		o, err := rawclient.ByName(rawclient.Forwards, dialect).Forward(ctx, to, rawclient.Forward{Pod: "shell", Ports: []int{9000}, Do: sendForth})
		if err != nil || len(o.Conns) != 1 || o.Conns[0].Head != forth || o.Conns[0].Error != "" {
			t.Errorf("port-forward, %s: %v\n%v", dialect, err, o)
		}
		sent.add(101, podsURI+"/shell/portforward")
	}
	ws, _, err := rawclient.DialWebSocket(ctx, to, podsURI+"/http:shell:8081/proxy/")
	if err != nil {
		t.Errorf("a WebSocket to a pod: %v", err)
	} else {
		checkEcho(ctx, t, ws)
	}
	sent.add(101, podsURI+"/http:shell:8081/proxy/")
	for version := 1; version <= 2; version++ {
		h := newHTTP(t, to, version)
		if a := read(t, h.begin(ctx, t, podsURI+"?limit=1")); a.code != 200 {
			t.Errorf("HTTP/%d: %v", version, a)
		}
		sent.add(200, podsURI)
		checkWatch(ctx, t, c, h, fmt.Sprintf("%s-%d", name, version))
		sent.add(200, configMapsURI)
		checkFollow(ctx, t, h)
		sent.add(200, tickerLogURI)
	}
	return sent
}

const (
	tickerLogURI = podsURI + "/ticker/log"
	// forth is what the tests send to a server in the pod that sends it back.
	forth = "there and back"
)

// sendForth sends bytes on a forwarded connection and waits until they are back.
func sendForth(_ int, c *rawclient.Connection) error {
	if _, err := c.Write([]byte(forth)); err != nil {
		return err
	}
	if err := c.Await(int64(len(forth))); err != nil {
		return err
	}
	return errors.Join(c.End(), c.AwaitEnd())
}

// checkEcho sends a message to a WebSocket that sends it back.
func checkEcho(ctx context.Context, t *testing.T, c *websocket.Conn) {
	t.Helper()
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.NetConn().Close() })()
	err := c.WriteMessage(websocket.BinaryMessage, []byte(forth))
	if err != nil {
		t.Error(err)
	}
	if _, message, err := c.ReadMessage(); err != nil || string(message) != forth {
		t.Errorf("the message %q came back as %q: %v", forth, message, err)
	}
}

// httpClient is a client of net/http that uses one version of HTTP.
type httpClient struct {
	to      cluster.Access
	version int
	via     *http.Transport
}

func newHTTP(t *testing.T, to cluster.Access, version int) httpClient {
	via := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(to)}, ForceAttemptHTTP2: version == 2, DisableCompression: true}
	if version == 1 {
		via.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(via.CloseIdleConnections)
	return httpClient{to, version, via}
}

// begin sends a GET and returns the answer as soon as its header has arrived. The caller closes the
// body.
func (h httpClient) begin(ctx context.Context, t *testing.T, uri string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.to.Server+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.to.Token)
	resp, err := h.via.RoundTrip(req)
	if err != nil {
		t.Fatalf("HTTP/%d, %s: %v", h.version, uri, err)
	}
	if resp.ProtoMajor != h.version {
		t.Errorf("%s, want HTTP/%d", resp.Proto, h.version)
	}
	return resp
}

// checkWatch watches a ConfigMap that does not exist. When the answer has begun, it creates the
// ConfigMap; the event must arrive although the answer goes on.
func checkWatch(ctx context.Context, t *testing.T, c *cluster.Cluster, h httpClient, name string) {
	t.Helper()
	resp := h.begin(ctx, t, configMapsURI+"?watch=true&fieldSelector="+url.QueryEscape("metadata.name="+name))
	defer resp.Body.Close()
	_, err := c.Client.CoreV1().ConfigMaps(cluster.Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	event, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.Contains(event, `"ADDED"`) || !strings.Contains(event, name) {
		t.Errorf("HTTP/%d, watch: %.300q, %v", h.version, event, err)
	}
}

// checkFollow reads two lines of the log of a pod that writes one line after another.
func checkFollow(ctx context.Context, t *testing.T, h httpClient) {
	t.Helper()
	resp := h.begin(ctx, t, tickerLogURI+"?follow=true&tailLines=1")
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 2 {
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "tick ") {
			t.Errorf("HTTP/%d, log: %.300q, %v", h.version, line, err)
		}
	}
}

// sentVerbs are the codes and verbs of the requests of sendEverything in edge's metrics.
var sentVerbs = tally{"101 CONNECT": 5, "200 LIST": 2, "200 WATCH": 4}

// counted matches the number of requests with a code and a verb in the metrics.
var counted = regexp.MustCompile(`(?m)^edge_request_duration_seconds_count\{code="(\d+)",verb="(\w+)"\} (\d+)$`)

// checkMetrics checks the metrics after sendEverything: they must have every request, or not exist.
func (e observedEdge) checkMetrics(ctx context.Context, t *testing.T) {
	t.Helper()
	if !e.on.metrics {
		if code, body, err := e.Operator(ctx, "/metrics", ""); err != nil || code != http.StatusNotFound {
			t.Errorf("/metrics: %d %.200q %v, want 404", code, body, err)
		}
		return
	}
	// wait: edge counts a request a moment after the client has read the answer
	eventually(ctx, t, patience, "the requests in the metrics", func(ctx context.Context) error {
		code, body, err := e.Operator(ctx, "/metrics", "")
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d, %w", code, err)
		}
		got := tally{}
		for _, series := range counted.FindAllStringSubmatch(body, -1) {
			if n, err := strconv.Atoi(series[3]); err == nil && n > 0 {
				got[series[1]+" "+series[2]] = n
			}
		}
		if !maps.Equal(got, sentVerbs) {
			return fmt.Errorf("%v, want %v", got, sentVerbs)
		}
		return nil
	})
}

// checkRecords checks what an edge that has ended has recorded: each observer every request once,
// or nothing.
func (e observedEdge) checkRecords(t *testing.T, sent tally) {
	t.Helper()
	logged, audited, traced := tally{}, tally{}, tally{}
	for _, line := range e.accessLines(t) {
		logged.add(line["status"], pathOf(fmt.Sprint(line["uri"])))
	}
	_, err := cluster.ReadAudit(e.audit, func(event cluster.AuditEvent) bool {
		if event.Stage == "ResponseComplete" && event.ResponseStatus != nil {
			audited.add(event.ResponseStatus.Code, pathOf(event.RequestURI))
		}
		return false
	})
	if err != nil && (e.on.audit || !errors.Is(err, fs.ErrNotExist)) {
		t.Error(err)
	}
	posts, spans := e.collector.received(t)
	for _, span := range spans {
		if isRequest(span) {
			traced.add(attribute(span, "http.response.status_code"), attribute(span, "url.path"))
		}
	}
	for _, c := range []struct {
		name string
		on   bool
		got  tally
	}{{"access log", e.on.accessLog, logged}, {"audit events", e.on.audit, audited}, {"spans", e.on.tracing, traced}} {
		if c.on && !maps.Equal(c.got, sent) || !c.on && len(c.got) > 0 {
			t.Errorf("%s, on %t: %v, sent %v", c.name, c.on, c.got, sent)
		}
	}
	if !e.on.tracing && posts > 0 {
		t.Errorf("tracing is off, but the collector got %d requests", posts)
	}
	log, err := os.ReadFile(e.Process.Log)
	if err != nil {
		t.Fatal(err)
	}
	// no flag switches the lines of sessions off
	for _, message := range []string{"session began", "session ended"} {
		if n := strings.Count(string(log), `"msg":"`+message+`"`); n != sentVerbs["101 CONNECT"] {
			t.Errorf("%d lines %q, want %d", n, message, sentVerbs["101 CONNECT"])
		}
	}
}

func pathOf(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	return path
}
