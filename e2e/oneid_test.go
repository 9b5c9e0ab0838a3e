package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"edge/e2e/testbed/cluster"
)

// uuidText matches an Audit-ID that a server has chosen.
var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// exemplarID matches the Audit-ID in an exemplar of the metrics.
var exemplarID = regexp.MustCompile(` # \{audit_id="([^"]*)"\} `)

// sentID is an Audit-ID that a client sends with a request, and whether edge uses it.
type sentID struct {
	name string
	id   string // empty: the client sends none
	kept bool   // false: edge replaces it by a UUID
}

func sentIDs() []sentID {
	return []sentID{
		{"none", "", false},
		{"own", "the-client's-own-1", true},
		{"quotes", `a" msg="AuSuccess" user="admin`, true},
		{"bidi", "a\u202eb\u2066c", false},
		{"not UTF-8", "a\xff\xfeb", false},
		{"longest", strings.Repeat("x", 256), true},
		{"too long", strings.Repeat("x", 257), false},
		{"a token", tokens["alice"], false},
	}
}

// identifiedRequest is a request whose Audit-ID a test follows.
type identifiedRequest struct {
	name, method, uri string // the URI has a query
	header            []string
	token             string
	code              int
	byEdge            bool // edge itself answers
	upstream          bool // the API server gets the request
}

func identifiedRequests() []identifiedRequest {
	alice := tokens["alice"]
	return []identifiedRequest{
		{"a list", "GET", podsURI + "?pretty=false", []string{askJSON}, alice, 200, false, true},
		{"exec, WebSocket", "GET", execURI, askWebSocket("v5.channel.k8s.io"), alice, 101, false, true},
		{"exec, SPDY", "POST", execURI, askSPDY, alice, 101, false, true},
		{"port-forward", "GET", portForwardURI + "?ports=9000", askWebSocket("SPDY/3.1+portforward.k8s.io"), alice, 101, false, true},
		{"path not UTF-8", "GET", podsURI + "/%ff?pretty=false", []string{askJSON}, alice, 404, false, true},
		{"403 of the API server", "GET", "/api/v1/nodes?pretty=false", []string{askJSON}, alice, 403, false, true},
		{"403 of a review", "GET", strings.Replace(execURI, cluster.Namespace, opsNamespace, 1), askWebSocket("v5.channel.k8s.io"), alice, 403, true, true},
		{"401 of edge", "GET", podsURI + "?pretty=false", []string{askJSON}, "", 401, true, false},
		{"403 of edge", "GET", podsURI + "?pretty=false", []string{askJSON, "Impersonate-User: somebody"}, alice, 403, true, false},
		{"400 of edge", "GET", podsURI + "/%2e%2e/x?pretty=false", []string{askJSON}, alice, 400, true, false},
	}
}

// TestOneID follows requests by their Audit-ID: it is the client's own, or a UUID, and the same in the
// answer, the access log, the lines of a session, the audit events of edge and of the API server, and
// the span. Somebody who has it from one of them finds the others.
func TestOneID(t *testing.T) {
	t.Parallel()
	c := sites[cluster.New].cluster
	e := startObserved(t, c, observers{true, true, true, true})
	var all []*followed
	for _, r := range identifiedRequests() {
		for _, id := range sentIDs() {
			// the number finds the request in each record: the access log shows the limit, and no
			// server minds it
			f := &followed{identifiedRequest: r, sentID: id, limit: fmt.Sprintf("&limit=%d", 70001+len(all)), rid: fmt.Sprintf("rid-%d", len(all))}
			all = append(all, f)
			f.send(t, e)
		}
	}
	exemplars := e.exemplars(t)
	e.awaitLines(t, len(all))
	e.stop()
	records := e.readRecords(t, c)
	ids := map[string]bool{}
	for _, f := range all {
		f.check(t, records)
		ids[f.id] = true
	}
	if len(ids) != len(all) {
		t.Errorf("%d requests have only %d IDs", len(all), len(ids))
	}
	for _, id := range exemplars {
		if !ids[id] {
			t.Errorf("no request has the Audit-ID %q of an exemplar", id)
		}
	}
	records.checkOnlyInAccessLog(t, "rid-")
}

// followed is a request that was sent, and what the client and the access log say of it.
type followed struct {
	identifiedRequest
	sentID

	limit string // a query parameter that no other request has
	rid   string // the client's X-Request-Id
	id    string // the request's Audit-ID
	said  string // the Audit-ID in the answer's header; empty: it has none
}

func (f *followed) String() string { return f.identifiedRequest.name + ", Audit-ID: " + f.sentID.name }

// send sends the request and reads its answer. A client's own ID is made unique if it has room.
func (f *followed) send(t *testing.T, e observedEdge) {
	t.Helper()
	if f.kept && len(f.sentID.id) < 100 {
		f.sentID.id += f.rid[len("rid"):]
	} else if f.kept {
		f.sentID.id = f.sentID.id[:len(f.sentID.id)-len(f.rid)] + strings.Replace(f.rid, "rid", "cid", 1)
	}
	header := append(slices.Clone(f.header), "X-Request-Id: "+f.rid)
	if f.sentID.id != "" {
		header = append(header, "Audit-ID: "+f.sentID.id)
	}
	a := raw(t.Context(), t, e.Access(f.token), f.method, f.uri+f.limit, header...)
	if a.code != f.code {
		t.Errorf("%v: %v, want %d", f, a, f.code)
	}
	f.said = strings.Join(a.header["Audit-Id"], " and ")
}

// exemplars returns the Audit-IDs in the metrics.
func (e observedEdge) exemplars(t *testing.T) (ids []string) {
	t.Helper()
	// wait: edge measures a request a moment after the client has read the answer
	eventually(t.Context(), t, patience, "an exemplar", func(ctx context.Context) error {
		code, body, err := e.Operator(ctx, "/metrics", "application/openmetrics-text; version=1.0.0")
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d, %w", code, err)
		}
		for _, match := range exemplarID.FindAllStringSubmatch(body, -1) {
			ids = append(ids, match[1])
		}
		if len(ids) == 0 {
			return fmt.Errorf("none in %d bytes", len(body))
		}
		return nil
	})
	return ids
}

// awaitLines waits until the access log has n lines: all streams have ended.
func (e observedEdge) awaitLines(t *testing.T, n int) {
	t.Helper()
	eventually(t.Context(), t, patience, "the access log", func(context.Context) error {
		if got := len(accessLines(t, e.Edge)); got != n {
			return fmt.Errorf("%d lines of %d requests", got, n)
		}
		return nil
	})
}

// records is everything that edge and the API server have recorded.
type records struct {
	log       []map[string]any // all lines of edge's log
	edge, api []cluster.AuditEvent
	rawEvents string // edge's audit log
	spans     []*tracev1.Span
}

// readRecords returns the records of an edge that has ended.
func (e observedEdge) readRecords(t *testing.T, c *cluster.Cluster) (r records) {
	t.Helper()
	log, err := os.Open(e.Process.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		r.log = append(r.log, line)
	}
	events, err := os.ReadFile(e.audit)
	if err != nil {
		t.Fatal(err)
	}
	r.rawEvents = string(events)
	if r.edge, err = cluster.ReadAudit(e.audit, func(cluster.AuditEvent) bool { return true }); err != nil {
		t.Fatal(err)
	}
	_, r.spans = e.collector.received(t)
	// wait: the API server writes an event after the answer
	eventually(t.Context(), t, patience, "the API server's events", func(context.Context) error {
		if r.api, err = c.Audit(func(event cluster.AuditEvent) bool { return strings.Contains(event.RequestURI, "limit=7") }); err != nil {
			return err
		}
		for _, event := range r.edge {
			upstream := slices.ContainsFunc(identifiedRequests(), func(q identifiedRequest) bool {
				return q.upstream && event.Stage == "ResponseComplete" && event.ResponseStatus != nil && event.ResponseStatus.Code == q.code && strings.HasPrefix(event.RequestURI, q.uri)
			})
			if upstream && !slices.ContainsFunc(r.api, func(a cluster.AuditEvent) bool { return a.RequestURI == event.RequestURI }) {
				return fmt.Errorf("no event of %s", event.RequestURI)
			}
		}
		return nil
	})
	return r
}

// lines returns the lines of edge's log with a message and a value.
func (r records) lines(message, key string, match func(value string) bool) (found []map[string]any) {
	for _, line := range r.log {
		if value, ok := line[key].(string); line["msg"] == message && ok && match(value) {
			found = append(found, line)
		}
	}
	return found
}

// check checks that all records of the request have one Audit-ID.
func (f *followed) check(t *testing.T, r records) {
	t.Helper()
	message := "AuSuccess"
	if f.code == 401 || f.code == 403 && !f.upstream {
		message = "AuFail"
	}
	isOurs := func(uri string) bool { return strings.HasSuffix(uri, f.limit) || strings.Contains(uri, f.limit+"&") }
	lines := r.lines(message, "uri", isOurs)
	if len(lines) != 1 {
		t.Errorf("%v: %d access lines %s", f, len(lines), message)
		return
	}
	line := lines[0]
	f.id = fmt.Sprint(line["audit-ID"])
	if f.kept && f.id != f.sentID.id || !f.kept && !uuidText.MatchString(f.id) {
		t.Errorf("%v: the ID is %q", f, f.id)
	}
	if line["xRequestId"] != f.rid {
		t.Errorf("%v: xRequestId %q, want %q", f, line["xRequestId"], f.rid)
	}
	if refused := line["refusal"] != nil; refused != f.byEdge {
		t.Errorf("%v: refusal %v, want an answer of edge: %t", f, line["refusal"], f.byEdge)
	}
	wantSaid := f.id
	if f.code == 101 {
		wantSaid = "" // like the API server's own 101
	}
	if f.said != wantSaid {
		t.Errorf("%v: the answer has the ID %q, want %q", f, f.said, wantSaid)
	}
	f.checkSession(t, r, line)
	f.checkEvents(t, "edge", r.edge, isOurs, true)
	f.checkEvents(t, "the API server", r.api, isOurs, f.upstream)
	f.checkSpan(t, r, line)
}

// checkSpan checks that the request has one span.
func (f *followed) checkSpan(t *testing.T, r records, line map[string]any) {
	t.Helper()
	var codes []string
	for _, span := range r.spans {
		if !isRequest(span) || attribute(span, "audit-id") != f.id {
			continue
		}
		codes = append(codes, attribute(span, "http.response.status_code"))
		if session := line["session"]; session != nil && session != attribute(span, "edge.session") {
			t.Errorf("%v: the span has the session %q, the access log %v", f, attribute(span, "edge.session"), session)
		}
	}
	if len(codes) != 1 || codes[0] != fmt.Sprint(f.code) {
		t.Errorf("%v: the codes of the spans are %q, want %d", f, codes, f.code)
	}
}

// checkSession checks the lines of the request's session, if it became a stream.
func (f *followed) checkSession(t *testing.T, r records, line map[string]any) {
	t.Helper()
	want := 0
	if f.code == 101 {
		want = 1
	}
	for _, message := range []string{"session began", "session ended"} {
		lines := r.lines(message, "audit-ID", func(id string) bool { return id == f.id })
		if len(lines) != want || want == 1 && lines[0]["session"] != line["session"] {
			t.Errorf("%v: the lines %q with the ID are %v, want %d of session %v", f, message, lines, want, line["session"])
		}
	}
}

// checkEvents checks the audit events of the request in one server's audit log.
func (f *followed) checkEvents(t *testing.T, server string, events []cluster.AuditEvent, isOurs func(uri string) bool, wanted bool) {
	t.Helper()
	found := false
	for _, event := range events {
		if isOurs(event.RequestURI) != (event.AuditID == f.id) {
			t.Errorf("%v: %s's event of %s has the ID %q, the access log %q", f, server, event.RequestURI, event.AuditID, f.id)
		}
		found = found || event.AuditID == f.id
	}
	if found != wanted {
		t.Errorf("%v: an event of %s: %t, want %t", f, server, found, wanted)
	}
}

// checkOnlyInAccessLog checks that a text is in the access log and in no other record.
func (r records) checkOnlyInAccessLog(t *testing.T, text string) {
	t.Helper()
	for _, line := range r.log {
		if raw := fmt.Sprint(line); strings.Contains(raw, text) && line["msg"] != "AuSuccess" && line["msg"] != "AuFail" {
			t.Errorf("%q is in the line %s", text, raw)
		}
	}
	if strings.Contains(r.rawEvents, text) {
		t.Errorf("%q is in an audit event", text)
	}
	for _, span := range r.spans {
		if said := span.String(); strings.Contains(said, text) {
			t.Errorf("%q is in the span %s", text, said)
		}
	}
}
