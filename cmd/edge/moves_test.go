package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/util/cert"

	"edge/internal/testkit"
)

// moves says for each metric of the reference what makes it change: a scenario of this file, or a
// test of the metric's own package, as its folder and name, for what no fake API server of this
// package can do.
var moves = map[string]string{
	"edge_api_server_up":                                "API server",
	"edge_audit_events_lost_total":                      "audit events",
	"edge_audit_events_total":                           "audit events",
	"edge_audit_queue_events":                           "audit events",
	"edge_audit_requests_rejected_total":                "audit events that must be stored",
	"edge_authentication_attempts_total":                "requests",
	"edge_authentication_config_last_reload_successful": "authentication configuration",
	"edge_authentication_config_reloads_total":          "authentication configuration",
	"edge_authentication_duration_seconds":              "requests",
	"edge_authentication_token_cache_total":             "requests",
	"edge_build_info":                                   "process",
	"edge_certificate_expiration_timestamp_seconds":     "certificates",
	"edge_certificate_reloads_total":                    "certificates",
	"edge_issuer_key_fetches_total":                     "issuer",
	"edge_issuer_keys_last_fetch_timestamp_seconds":     "issuer",
	"edge_ready":                              "issuer",
	"edge_request_duration_seconds":           "requests",
	"edge_request_refusals_total":             "requests",
	"edge_request_time_to_first_byte_seconds": "requests",
	"edge_request_transferred_bytes_total":    "requests",
	"edge_requests_in_flight":                 "requests",
	"edge_review_cache_total":                 "requests",
	"edge_review_duration_seconds":            "requests",
	"edge_reviews_total":                      "requests",
	"edge_session_duration_seconds":           "stream",
	"edge_session_echo_seconds":               "bridge TestEcho",
	"edge_session_keepalive_failures_total":   "bridge TestSilentUpstream",
	"edge_session_stalled_seconds_total":      "bridge TestStallsHaveASide",
	"edge_session_transferred_bytes_total":    "stream",
	"edge_sessions":                           "stream",
	"edge_sessions_awaiting_echo":             "bridge TestEcho",
	"edge_sessions_ended_total":               "stream",
	"edge_sessions_limit":                     "process",
	"edge_sessions_stalled":                   "bridge TestStallsHaveASide",
	"edge_sessions_started_total":             "stream",
	"edge_upstream_connections":               "connections",
	"edge_upstream_connects_total":            "stream",
	"edge_upstream_credential_accepted":       "API server",
	"edge_upstream_retries_total":             "bridge/internal/roundtrip TestRetriesAreCounted",
	"edge_upstream_silent_connections_total":  "bridge/internal/roundtrip TestSilentConnectionsAreCounted",
}

// otherValues names the tests of other packages that count with each value of a label, where the
// scenarios of this file need only some of the values.
var otherValues = map[string]string{
	"edge_authentication_attempts_total":    "authn TestEveryResultIsCounted",
	"edge_request_refusals_total":           "bridge TestReasons",
	"edge_sessions_ended_total":             "bridge/internal/session TestEveryCauseIsCounted",
	"edge_session_keepalive_failures_total": "bridge/internal/session TestKeepaliveFailuresAreCountedOnce",
	"edge_upstream_connects_total":          "bridge/internal/roundtrip TestConnectsAreCounted",
	"edge_audit_events_lost_total":          "audit TestLostEventsAreCounted",
	"edge_audit_queue_events":               "audit TestQueueIsCounted",
}

// scenarios make metrics of an edge serve change. Each calls method moved for all metrics that the
// table moves assigns to it.
var scenarios = map[string]func(m *movement){
	"process": func(m *movement) {
		m.change = func(e *instance) { // 1,024 files allow a quarter as many streams
			args := append([]string{"-c", `ulimit -n 1024 && exec "$0" "$@"`, e.cmd.Path}, e.cmd.Args[1:]...)
			e.cmd.Path, e.cmd.Args = "/bin/sh", append([]string{"sh"}, args...)
		}
		few := m.serve()
		m.change = nil
		many := m.serve()
		if got := m.scrape(few).value("edge_sessions_limit"); got != 256 || m.scrape(many).value("edge_sessions_limit") == got {
			m.Errorf("with 1,024 files the limit is %v streams, without that limit %v", got, m.scrape(many).value("edge_sessions_limit"))
		}
		if m.scrape(many).value("edge_build_info", "version="+buildVersion(), "goversion="+runtime.Version()) != 1 {
			m.Error("edge_build_info names another version")
		}
		m.seen["edge_sessions_limit"], m.seen["edge_build_info"] = true, true
	},
	"requests": func(m *movement) {
		hold := make(chan struct{})
		m.answer = func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
				allowed := !strings.Contains(m.lastBody(), `"denied"`)
				fmt.Fprintf(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":%t}}`, allowed)
			case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
				fmt.Fprint(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"agent"}}}`)
			case r.URL.Query().Has("watch"):
				fmt.Fprint(w, "begun\n")
				w.(http.Flusher).Flush()
				<-hold
			default:
				fmt.Fprint(w, "{}")
			}
		}
		ca, pair := m.clientCertificate("anna", "dev")
		e := m.serve("--token-passthrough", "--anonymous-paths=/version", "--client-ca-file="+ca)
		m.begin(e)
		good := m.token(nil)
		e.upstreamOf(good, "/api/v1/pods")
		e.upstreamOf(good, "/api/v1/pods")
		e.upstreamOf("", "/version")
		e.upstreamOf("opaque", "/api")
		e.upstreamOf("opaque", "/api")
		e.ask("", "/api")
		e.upstreamOf(good, "/api", "Impersonate-User", "bob")
		e.upstreamOf(good, "/api", "Impersonate-User", "bob")
		e.ask(good, "/api", "Impersonate-User", "denied")
		if resp, err := certified(pair).Get(e.url + "/api"); err != nil {
			m.Fatal(err)
		} else {
			resp.Body.Close()
		}
		post, err := http.NewRequestWithContext(m.Context(), http.MethodPost, e.url+"/api/v1/namespaces", strings.NewReader("{}"))
		if err != nil {
			m.Fatal(err)
		}
		post.Header.Set("Authorization", "Bearer "+good)
		e.do(post)
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			e.ask(good, "/api/v1/pods?watch=1")
		}()
		m.moved("edge_requests_in_flight verb=WATCH")
		close(hold)
		<-watching
		m.moved(
			"edge_request_duration_seconds verb=LIST code=200", "edge_request_duration_seconds verb=WATCH code=200",
			"edge_request_duration_seconds verb=GET code=401", "edge_request_duration_seconds verb=GET code=403", "edge_request_duration_seconds verb=POST",
			"edge_request_time_to_first_byte_seconds verb=LIST", "edge_request_time_to_first_byte_seconds verb=WATCH",
			"edge_request_transferred_bytes_total direction=in", "edge_request_transferred_bytes_total direction=out",
			"edge_request_refusals_total reason=credential",
			"edge_authentication_attempts_total authenticator=issuer0 result=success",
			"edge_authentication_attempts_total authenticator=anonymous result=success",
			"edge_authentication_attempts_total authenticator=review result=success",
			"edge_authentication_attempts_total authenticator=certificate result=success",
			"edge_authentication_attempts_total authenticator=none result=no_credential",
			"edge_authentication_duration_seconds",
			"edge_authentication_token_cache_total result=hit", "edge_authentication_token_cache_total result=miss",
			"edge_reviews_total kind=access result=allowed", "edge_reviews_total kind=access result=denied", "edge_reviews_total kind=token result=allowed",
			"edge_review_duration_seconds kind=access", "edge_review_duration_seconds kind=token",
			"edge_review_cache_total kind=access result=hit", "edge_review_cache_total kind=access result=miss",
			"edge_review_cache_total kind=token result=hit", "edge_review_cache_total kind=token result=miss",
		)
		if got := m.scrape(e).value("edge_requests_in_flight"); got != 0 {
			m.Errorf("%v requests are in flight after the last one", got)
		}
	},
	"connections": func(m *movement) { // two API servers: one with HTTP/2, one without
		old := httptest.NewUnstartedServer(http.HandlerFunc(m.serveAPI))
		testkit.StartTLS(old)
		defer old.Close()
		for _, c := range []struct{ protocol, server, ca string }{
			{"h2", m.api.URL, m.authority("api.crt", m.api)}, {"http/1.1", old.URL, m.authority("old.crt", old)},
		} {
			e := m.serve("--server="+c.server, "--certificate-authority="+c.ca)
			m.begin(e)
			e.upstreamOf(m.token(nil), "/api")
			m.moved("edge_upstream_connections protocol="+c.protocol, "edge_upstream_connects_total purpose=requests result=success")
			e.stop()
		}
	},
	"stream": func(m *movement) {
		end := make(chan struct{})
		m.answer = func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/exec") {
				execUntil(w, r, end)
				return
			}
			fmt.Fprint(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`)
		}
		e := m.serve("--upstream-streaming=websocket")
		m.begin(e)
		stream := e.exec(m.token(nil))
		defer stream.Close()
		m.moved("edge_sessions verb=exec", "edge_sessions_started_total verb=exec")
		stream.WriteMessage(websocket.BinaryMessage, []byte("\x00in"))
		m.moved("edge_session_transferred_bytes_total direction=in")
		close(end)
		for err := error(nil); err == nil; {
			_, _, err = stream.ReadMessage()
		}
		m.moved("edge_sessions_ended_total cause=completed verb=exec", "edge_session_duration_seconds verb=exec",
			"edge_session_transferred_bytes_total direction=out", "edge_upstream_connects_total purpose=streams result=success",
			"edge_request_duration_seconds verb=CONNECT code=101")
		e.wait("the session's end", func() bool { return m.scrape(e).value("edge_sessions") == 0 })
	},
	"issuer": func(m *movement) {
		good := m.issuer.Config.Handler
		var up atomic.Bool
		m.issuer.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if up.Load() {
				good.ServeHTTP(w, r)
				return
			}
			http.Error(w, "down", http.StatusServiceUnavailable)
		})
		e := m.start(append(m.oidc(), m.upstream()...)...)
		m.begin(e)
		m.moved("edge_issuer_key_fetches_total issuer=issuer0 result=failure")
		if got := m.scrape(e); got.value("edge_ready") != 0 || got.count("edge_ready") != 1 || got.count("edge_issuer_keys_last_fetch_timestamp_seconds") != 0 {
			m.Error("edge is ready without keys")
		}
		up.Store(true)
		m.moved("edge_issuer_key_fetches_total issuer=issuer0 result=success", "edge_issuer_keys_last_fetch_timestamp_seconds issuer=issuer0", "edge_ready")
	},
	"draining": func(m *movement) {
		e := m.serve("--shutdown-delay-duration=1m")
		m.begin(e)
		e.cmd.Process.Signal(syscall.SIGTERM)
		m.moved("edge_ready") // from 1 to 0, with /ready
	},
	"API server": func(m *movement) {
		var mode atomic.Int32 // the status code of every answer; 0: as usual
		m.api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if code := mode.Load(); code != 0 {
				w.WriteHeader(int(code))
				return
			}
			m.serveAPI(w, r)
		})
		mode.Store(http.StatusServiceUnavailable)
		e := m.start(append(m.oidc(), m.upstream()...)...)
		m.begin(e)
		mode.Store(0)
		m.moved("edge_api_server_up") // from 0 to 1
		e.wait("ready", func() bool { return m.scrape(e).value("edge_ready") == 1 })
		m.begin(e)
		mode.Store(http.StatusUnauthorized)
		e.ask(m.token(nil), "/api")
		m.moved("edge_upstream_credential_accepted", "edge_ready", "edge_request_refusals_total reason=own_credential")
	},
	"certificates": func(m *movement) {
		write := func(names ...string) {
			for _, name := range names {
				crt, key, err := cert.GenerateSelfSignedCertKey(name+".example", nil, nil)
				if err != nil {
					m.Fatal(err)
				}
				m.file(name+".crt", string(crt))
				m.file(name+".key", string(key))
			}
		}
		write("special")
		special := filepath.Join(m.dir, "special")
		e := m.serve("--tls-sni-cert-key=" + special + ".crt," + special + ".key")
		m.begin(e)
		for _, kind := range []string{certificateDefault, certificateSNI} {
			if m.scrape(e).value("edge_certificate_expiration_timestamp_seconds", "certificate="+kind) == 0 {
				m.Errorf("no expiry of %s", kind)
			}
		}
		write("special", "edge")
		m.moved("edge_certificate_reloads_total certificate=default", "edge_certificate_reloads_total certificate=sni", "edge_certificate_expiration_timestamp_seconds certificate=default")
	},
	"authentication configuration": func(m *movement) {
		ca := fmt.Sprintf("%q", m.authorityText(m.authority("issuer.crt", m.issuer)))
		config := func(more string) string {
			return m.file("authn.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {url: "+m.issuer.URL+
				", audiences: [edge], certificateAuthority: "+ca+"}\n  claimMappings: {username: {claim: sub, prefix: \""+more+"\"}}\n")
		}
		e := m.serveOnly(append(m.upstream(), "--authentication-config="+config("a:"))...)
		m.begin(e)
		config("b:")
		m.moved("edge_authentication_config_reloads_total result=success")
		m.file("authn.yaml", "none")
		m.moved("edge_authentication_config_reloads_total result=failure", "edge_authentication_config_last_reload_successful")
	},
	"audit events": func(m *movement) {
		hold := make(chan struct{})
		defer close(hold)
		e := m.serve(append(m.auditing(func(http.ResponseWriter, *http.Request) { <-hold }), "--audit-webhook-mode=batch", "--audit-webhook-batch-buffer-size=1",
			"--audit-webhook-batch-max-size=1", "--audit-webhook-batch-throttle-enable=false")...)
		m.begin(e)
		e.wait("a full buffer", func() bool {
			e.ask(m.token(nil), "/api")
			return m.scrape(e).value("edge_audit_events_lost_total") > 0
		})
		m.moved("edge_audit_events_total", "edge_audit_queue_events", "edge_audit_events_lost_total plugin=buffered")
	},
	"audit events that must be stored": func(m *movement) {
		e := m.serve(append(m.auditing(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), "--audit-webhook-mode=blocking-strict", "--audit-webhook-initial-backoff=1ms")...)
		m.begin(e)
		if resp, _ := e.ask(m.token(nil), "/api"); resp.StatusCode != http.StatusInternalServerError {
			m.Error(resp.Status)
		}
		m.moved("edge_audit_requests_rejected_total", "edge_audit_events_lost_total plugin=webhook", "edge_request_refusals_total reason=audit")
	},
}

// TestMetricsMove checks that each metric of the reference changes when that happens which it is
// about.
func TestMetricsMove(t *testing.T) {
	t.Parallel()
	assigned := map[string][]string{} // metrics by scenario
	known := map[string]bool{}
	for _, set := range newMeasures().sets() {
		for _, d := range set.Reference() {
			known[d.Name] = true
			by, ok := moves[d.Name]
			if !ok {
				t.Errorf("%s: no test says what makes it change", d.Name)
			}
			assigned[by] = append(assigned[by], d.Name)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(moves)), slices.Collect(maps.Keys(otherValues))) {
		if !known[name] {
			t.Errorf("%s is no metric", name)
		}
	}
	for name, test := range otherValues {
		checkMentions(t, test, name)
	}
	for by, names := range assigned {
		if scenarios[by] == nil {
			for _, name := range names {
				checkMentions(t, by, name)
			}
		}
	}
	for name, provoke := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &movement{bed: newBed(t), seen: map[string]bool{}}
			provoke(m)
			for _, name := range assigned[name] {
				if !m.seen[name] {
					t.Errorf("the scenario does not check %s", name)
				}
			}
		})
	}
}

// checkMentions checks that a test, given as its folder and name, exists and mentions a metric.
func checkMentions(t *testing.T, test, metricName string) {
	t.Helper()
	folder, function, _ := strings.Cut(test, " ")
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		set := token.NewFileSet()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(set, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Name.Name == function && bytes.Contains(text[set.Position(f.Pos()).Offset:set.Position(f.End()).Offset], []byte(metricName)) {
				return
			}
		}
	}
	t.Errorf("%s: there is no test %s that mentions it in folder %s", metricName, function, folder)
}

// execUntil serves an exec over WebSocket, which has succeeded when end is closed.
func execUntil(w http.ResponseWriter, r *http.Request, end <-chan struct{}) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for err := error(nil); err == nil; {
			_, _, err = c.ReadMessage()
		}
	}()
	select {
	case <-end:
	case <-gone:
	}
	c.WriteMessage(websocket.BinaryMessage, []byte("\x01out"))
	c.WriteMessage(websocket.BinaryMessage, []byte("\x03"+`{"metadata":{},"status":"Success"}`))
	c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	<-gone
}

// exec begins an exec over WebSocket.
func (e *instance) exec(token string) *websocket.Conn {
	e.Helper()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"v5.channel.k8s.io"}, HandshakeTimeout: bedPatience}
	c, resp, err := d.DialContext(e.Context(), strings.Replace(e.url, "https", "wss", 1)+"/api/v1/namespaces/a/pods/b/exec?command=x&stdin=1&stdout=1",
		http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		e.Fatal(err, resp)
	}
	c.SetReadDeadline(time.Now().Add(bedPatience))
	return c
}

// movement watches the metrics of an edge.
type movement struct {
	*bed
	e      *instance
	before scraped
	seen   map[string]bool // the names of the metrics that have changed
}

// begin scrapes the metrics of e: method moved waits for other values.
func (m *movement) begin(e *instance) {
	m.Helper()
	e.wait("a scrape", func() bool {
		resp, err := http.Get(e.probe + "/metrics")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	m.e, m.before = e, m.scrape(e)
}

// moved waits until each series has changed since begin. A series is a metric's name, followed by
// labels after spaces. A counter or a histogram must have a greater value, a gauge another one.
func (m *movement) moved(series ...string) {
	m.Helper()
	for _, s := range series {
		words := strings.Fields(s)
		m.e.wait(s, func() bool {
			now := m.scrape(m.e)
			is, was := now.value(words[0], words[1:]...), m.before.value(words[0], words[1:]...)
			return is > was || is != was && now[words[0]].GetType() == dto.MetricType_GAUGE
		})
		m.seen[words[0]] = true
	}
}

// lastBody returns the body of the request that the API server has received last.
func (m *movement) lastBody() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies[len(m.bodies)-1]
}

// auditing returns the flags with which edge sends an event for each stage of a request to the
// webhook h.
func (b *bed) auditing(h http.HandlerFunc) []string {
	hook := testkit.NewTLSServer(h)
	b.Cleanup(hook.Close)
	return []string{
		"--audit-policy-file=" + b.file("policy.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"),
		"--audit-webhook-config-file=" + b.file("webhook.yaml", fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"+
			"clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]\n", hook.URL, b.authority("hook.crt", hook))),
	}
}

// scraped are metrics by name, as in an answer of /metrics.
type scraped map[string]*dto.MetricFamily

// scrape reads /metrics in Prometheus' text format.
func (b *bed) scrape(e *instance) scraped {
	b.Helper()
	resp, err := http.Get(e.probe + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status, err)
	}
	return families
}

// value returns testkit.SumMetric of a metric.
func (s scraped) value(name string, labels ...string) float64 {
	return testkit.SumMetric(s[name], labels...)
}

// count returns the number of series of a metric.
func (s scraped) count(name string) int { return len(s[name].GetMetric()) }

// TestExemplars checks that the exemplar of a request has the Audit-ID of its answer, which edge's
// log has too, and that an Audit-ID of a client that is too long for an exemplar makes none.
func TestExemplars(t *testing.T) {
	t.Parallel()
	e := newBed(t).serve()
	exemplars := func() string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.probe+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/openmetrics-text")
		_, body := e.do(req)
		return body
	}
	for _, sent := range []string{"", "of-the-client", `"} # HELP`, strings.Repeat("l", 65)} {
		var header []string
		if sent != "" {
			header = []string{"Audit-Id", sent}
		}
		resp, _ := e.ask("", "/api", header...) // edge's own answer: 401
		id := resp.Header.Get("Audit-Id")
		if id == "" || sent != "" && id != sent {
			t.Fatalf("%q: the answer has the Audit-ID %q", sent, id)
		}
		shown := func() bool { return strings.Contains(exemplars(), fmt.Sprintf(`# {audit_id=%q} `, id)) }
		switch {
		case len(id) > 64:
			e.wait("its count", func() bool { return e.scrape(e).value("edge_requests_in_flight") == 0 })
			if shown() {
				t.Errorf("%q: an exemplar has it", sent)
			}
		default: // not every request makes an exemplar
			e.wait("an exemplar with "+id, func() bool {
				if shown() {
					return true
				}
				e.ask("", "/api", "Audit-Id", id)
				return false
			})
		}
		if sent == "" {
			e.wait("its line in the log", func() bool { return strings.Contains(e.log.String(), id) })
		}
	}
}
