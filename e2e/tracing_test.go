package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// tracingTest is a collector, and edges that send it their spans.
type tracingTest struct {
	*testing.T
	s         *site
	collector *testbed.Collector
	policy    string // edge's audit policy: with it edge gives each request an Audit-ID
}

func startTracing(t *testing.T) *tracingTest {
	t.Helper()
	tr := &tracingTest{T: t, s: sites[cluster.New], policy: filepath.Join(t.TempDir(), "policy.yaml")}
	if err := os.WriteFile(tr.policy, []byte(kopAuditPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if tr.collector, err = bed.StartCollector(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.collector.Stop)
	return tr
}

// edge starts an edge that sends spans to the collector, with these flags.
func (tr *tracingTest) edge(upstream cluster.Access, args ...string) *testbed.Edge {
	tr.Helper()
	return startEdge(tr.T, testbed.EdgeOptions{
		Cluster: tr.s.cluster, Issuer: idp, Upstream: upstream,
		Args: append([]string{"--tracing-endpoint=" + tr.collector.HTTP, "--audit-policy-file=" + tr.policy, "--audit-log-path=" + filepath.Join(tr.TempDir(), "audit.log")}, args...),
	})
}

// wait waits until the collector has spans for which the function found returns true, and returns
// all spans.
func (tr *tracingTest) wait(what string, found func([]testbed.Span) bool) []testbed.Span {
	tr.Helper()
	var all []testbed.Span
	eventually(tr.Context(), tr.T, patience, what, func(context.Context) error {
		var err error
		if all, err = tr.collector.Spans(); err == nil && !found(all) {
			err = fmt.Errorf("%d spans: %.4000v", len(all), all)
		}
		return err
	})
	return all
}

// trace is the spans of one trace.
type trace []testbed.Span

// traceOf returns the spans of the trace in which edge's span of the request with this Audit-ID is.
func traceOf(all []testbed.Span, auditID string) trace { return traceWith(all, "audit-id", auditID) }

// traceWith returns the spans of the trace in which a span of edge has this attribute.
func traceWith(all []testbed.Span, key, value string) trace {
	for _, s := range all {
		if s.Service == "edge" && s.Attributes[key] == value {
			return slices.DeleteFunc(slices.Clone(all), func(other testbed.Span) bool { return other.TraceID != s.TraceID })
		}
	}
	return nil
}

// child returns the span with this service and name below the span with the ID parent. An empty name
// means any.
func (t trace) child(parent, service, name string) (testbed.Span, bool) {
	for _, s := range t {
		if s.ParentSpanID == parent && s.Service == service && (name == "" || s.Name == name) {
			return s, true
		}
	}
	return testbed.Span{}, false
}

// follow returns the last of edge's spans on the way from the root of a trace through spans with
// these names.
func (t trace) follow(names ...string) (last testbed.Span, ok bool) {
	for _, name := range names {
		if last, ok = t.child(last.SpanID, "edge", name); !ok {
			return last, false
		}
	}
	return last, ok
}

// tracedReplica starts an API server that sends its spans to the collector, if the caller's trace is
// sampled. The access has a certificate with edge's rights, in a group for which kube-apiserver
// continues a trace: it begins its own for everybody but system:masters and system:monitoring.
func (tr *tracingTest) tracedReplica() cluster.Access {
	tr.Helper()
	const account = "traced-edge"
	config := filepath.Join(tr.TempDir(), "tracing.yaml")
	text := fmt.Sprintf("apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: %s\nsamplingRatePerMillion: 0\n", tr.collector.GRPC)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		tr.Fatal(err)
	}
	replica, err := tr.s.cluster.StartReplica(tr.Context(), "--tracing-config-file="+config)
	if err != nil {
		tr.Fatal(err)
	}
	tr.Cleanup(replica.Kill)
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edge"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: account}},
	}
	bindings := tr.s.cluster.Client.RbacV1().ClusterRoleBindings()
	if _, err := bindings.Create(tr.Context(), binding, metav1.CreateOptions{}); err != nil {
		tr.Fatal(err)
	}
	tr.Cleanup(func() { bindings.Delete(context.WithoutCancel(tr.Context()), account, metav1.DeleteOptions{}) })
	access, err := tr.s.cluster.UserAccess(account, "system:monitoring")
	if err != nil {
		tr.Fatal(err)
	}
	access.Server, access.CA = replica.Access.Server, replica.Access.CA
	return access
}

// TestTracing checks the spans that a real OTLP receiver gets from edge and from the API server, for
// a plain request, an impersonation, an exec and a port-forward.
func TestTracing(t *testing.T) {
	t.Parallel()
	tr := startTracing(t)
	api := tr.tracedReplica()
	kubeconfig, err := bed.Kubeconfig(api)
	if err != nil {
		t.Fatal(err)
	}
	edge := tr.edge(api, "--tracing-sampling-rate-per-million=1000000", "--kubeconfig="+kubeconfig)
	access := edge.Access(tokens["alice"])
	h := newHand(t, access)

	// edge gives the request its Audit-ID; the API server writes it in its answer
	id := func(header http.Header) string {
		t.Helper()
		if header.Get("Audit-Id") == "" {
			t.Fatalf("no Audit-ID in %v", header)
		}
		return header.Get("Audit-Id")
	}
	// An edge with its ordinary account comes first. The API server would send a span of its request
	// before those of the later requests.
	ordinary := tr.edge(cluster.Access{Server: api.Server, CA: api.CA}, "--tracing-sampling-rate-per-million=1000000")
	other := newHand(t, ordinary.Access(tokens["alice"])).do(t.Context(), http.MethodGet, podsURI+"?limit=1", nil)
	if other.err != nil || other.code != http.StatusOK {
		t.Fatal(other)
	}
	list := h.do(t.Context(), http.MethodGet, podsURI+"?limit=1", nil)
	if list.err != nil || list.code != http.StatusOK {
		t.Fatal(list)
	}
	const deniedURI = podsURI + "/denied" // edge itself refuses this request, after an access review
	denied := h.do(t.Context(), http.MethodGet, deniedURI, nil, "Impersonate-User: somebody")
	if denied.err != nil || denied.code != http.StatusForbidden {
		t.Fatal(denied)
	}
	kc, err := bed.Kubeconfig(access)
	if err != nil {
		t.Fatal(err)
	}
	k := bed.Kubectl("1.36", kc)
	if err := want(k.Run(t.Context(), "exec", "shell", "--", "echo", "hello"), 0, "hello\n"); err != nil {
		t.Error(err)
	}
	forward, err := k.PortForward(t.Context(), "pod/shell", 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Stop()

	all := tr.wait("the spans of all requests, and those of the API server", func(all []testbed.Span) bool {
		for _, one := range []trace{traceOf(all, id(list.header)), traceWith(all, "url.path", deniedURI)} {
			if !slices.ContainsFunc(one, func(s testbed.Span) bool { return s.Service == "apiserver" }) {
				return false
			}
		}
		return traceOf(all, id(other.header)) != nil && len(streamsIn(all, "exec")) == 1 && len(streamsIn(all, "portforward")) == 1
	})

	plain := traceOf(all, id(list.header))
	request, _ := plain.follow("LIST")
	call, ok := plain.follow("LIST", "API server")
	if _, authenticated := plain.follow("LIST", "authenticate"); !ok || !authenticated || request.Kind != 2 || call.Kind != 3 {
		t.Errorf("the spans of a list are %+v", plain)
	}
	if request.Attributes["url.path"] != podsURI || request.Attributes["client.address"] != "127.0.0.1" || request.Attributes["http.response.status_code"] != "200" {
		t.Errorf("the request's span is %+v", request)
	}
	// the API server's span is a child of edge's call, and has the same Audit-ID
	if server, ok := plain.child(call.SpanID, "apiserver", ""); !ok || server.Attributes["audit-id"] != id(list.header) {
		t.Errorf("the API server's span is %+v, in %+v", server, plain)
	}
	// for edge's ordinary account it does not continue the trace
	if s := traceOf(all, id(other.header)); slices.ContainsFunc(s, func(s testbed.Span) bool { return s.Service != "edge" }) {
		t.Errorf("the spans below an edge that is not in system:monitoring are %+v", s)
	}
	refused := traceWith(all, "url.path", deniedURI)
	if review, ok := refused.follow("GET", "access review"); !ok || review.Kind != 3 {
		t.Errorf("the spans of a denied impersonation are %+v", refused)
	} else if _, ok := refused.child(review.SpanID, "apiserver", ""); !ok {
		t.Errorf("the API server did not continue the trace of a review: %+v", refused)
	}
	for _, verb := range []string{"exec", "portforward"} {
		stream := streamsIn(all, verb)[0]
		call, ok := stream.follow("CONNECT", "session start", "API server")
		if !ok || call.Attributes["http.response.status_code"] != "101" {
			t.Errorf("%s: %+v", verb, stream)
		}
		if root, _ := stream.follow("CONNECT"); root.Attributes["edge.session"] == "" || root.Attributes["audit-id"] == "" {
			t.Errorf("%s: %+v", verb, root)
		}
		// request, authentication, the session's start and its call; frames make no spans
		if n := len(slices.DeleteFunc(slices.Clone(stream), func(s testbed.Span) bool { return s.Service != "edge" })); n != 4 {
			t.Errorf("%s: %d spans of edge: %+v", verb, n, stream)
		}
	}
	for _, s := range all {
		for key, value := range s.Attributes {
			if s.Service == "edge" && strings.ContainsAny(value, "?") {
				t.Errorf("%s: %s=%s has a query", s.Name, key, value)
			}
		}
	}
}

// streamsIn returns the traces of edge with a stream of this subresource.
func streamsIn(all []testbed.Span, verb string) (found []trace) {
	for _, s := range all {
		if s.Service == "edge" && s.Kind == 2 && strings.HasSuffix(s.Attributes["url.path"], "/"+verb) {
			found = append(found, traceOf(all, s.Attributes["audit-id"]))
		}
	}
	return found
}

// TestTracingTrust checks that only a trusted proxy decides whether a request is sampled, and that
// the API server gets edge's traceparent, not the client's.
func TestTracingTrust(t *testing.T) {
	t.Parallel()
	const balancer, client = "127.0.0.8", "127.0.0.9"
	const theirs, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	tr := startTracing(t)
	recorder, err := bed.StartRecorder(t.Context(), tr.s.cluster)
	if err != nil {
		t.Fatal(err)
	}
	edge := tr.edge(recorder.Access(), "--trusted-proxies="+balancer)
	a := attacked{edge, recorder}
	to := a.as(tokens["alice"])
	ids := map[string]string{} // the Audit-ID of the last request of each source
	for _, r := range []struct {
		method, uri string
		lines       []string
		code        int
	}{
		{"GET", podsURI, []string{askJSON}, 200},
		{"GET", execURI, askWebSocket("v5.channel.k8s.io"), 101},
	} {
		for _, source := range []string{client, balancer} {
			conn := dial(t.Context(), t, to, source, "http/1.1")
			lines := append(slices.Clone(r.lines), "traceparent: 00-"+theirs+"-"+span+"-01", "tracestate: a=1", "baggage: b=2")
			resp, err := tryExchange(conn, to, r.method, r.uri, lines...)
			if err != nil || resp.StatusCode != r.code {
				t.Fatal(resp, err)
			}
			if r.code == 200 {
				ids[source] = resp.Header.Get("Audit-Id")
			}
			conn.Close()
			heads := a.requests()
			recorder.Forget()
			if len(heads) != 1 || len(heads[0].Header["Traceparent"]) != 1 {
				t.Fatalf("%s from %s: upstream saw %v", r.uri, source, heads)
			}
			got := heads[0].Header
			if trusted := source == balancer; strings.Contains(got.Get("Traceparent"), theirs) != trusted || strings.HasSuffix(got.Get("Traceparent"), "-01") != trusted ||
				(got.Get("Tracestate") == "a=1") != trusted || (got.Get("Baggage") == "b=2") != trusted || strings.Contains(got.Get("Traceparent"), span) {
				t.Errorf("%s from %s: upstream saw traceparent %q, tracestate %q, baggage %q", r.uri, source, got["Traceparent"], got["Tracestate"], got["Baggage"])
			}
		}
	}
	// request, authentication and call of the list; request, authentication, start and call of the exec
	const spans = 7
	tr.wait("the spans of the trusted proxy's requests", func(all []testbed.Span) bool { return len(all) >= spans })
	edge.Process.Stop(10 * time.Second) // sends the last spans, if there are more
	all, err := tr.collector.Spans()
	if err != nil || len(all) != spans {
		t.Errorf("%d spans, %v: %+v", len(all), err, all)
	}
	for _, s := range all {
		if s.TraceID != theirs {
			t.Errorf("a span of another trace: %+v", s)
		}
	}
	root, ok := trace(all).child(span, "edge", "LIST")
	if !ok || root.Attributes["audit-id"] != ids[balancer] || ids[balancer] == ids[client] {
		t.Errorf("the balancer's request is %+v, with Audit-ID %s", root, ids[balancer])
	}
}

// TestTracingWithoutCollector checks that requests succeed while the collector is down, that edge
// says so once, and that the spans of later requests arrive when the collector is back.
func TestTracingWithoutCollector(t *testing.T) {
	t.Parallel()
	tr := startTracing(t)
	tr.collector.Stop()
	edge := tr.edge(cluster.Access{}, "--tracing-sampling-rate-per-million=1000000")
	h := newHand(t, edge.Access(tokens["alice"]))
	get := func() string {
		t.Helper()
		r := h.do(t.Context(), http.MethodGet, podsURI+"?limit=1", nil)
		if r.err != nil || r.code != http.StatusOK {
			t.Fatal(r)
		}
		return r.header.Get("Audit-Id")
	}
	count := func(message string) int {
		t.Helper()
		log, err := edge.Process.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(log, `"msg":"`+message+`"`)
	}
	eventually(t.Context(), t, patience, "a line in edge's log", func(context.Context) error {
		get()
		if count("spans could not be sent") == 0 {
			return fmt.Errorf("no such line")
		}
		return nil
	})
	if err := tr.collector.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := ""
	tr.wait("spans after the collector's return", func(all []testbed.Span) bool {
		if last == "" || traceOf(all, last) == nil {
			last = get()
		}
		return len(all) > 0
	})
	eventually(t.Context(), t, patience, "a line in edge's log", func(context.Context) error {
		if count("spans can be sent again") != 1 {
			return fmt.Errorf("%d lines", count("spans can be sent again"))
		}
		return nil
	})
	if n := count("spans could not be sent"); n != 1 {
		t.Errorf("%d lines about lost spans", n)
	}
	// OpenTelemetry writes nothing to stderr beside edge's log
	log, err := edge.Process.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("edge wrote %q", line)
		}
	}
}
