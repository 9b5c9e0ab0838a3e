package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"edge/internal/metric"
)

// measuredEdge is an edge in this process whose metrics a test reads.
type measuredEdge struct {
	*bed
	handler   http.Handler
	registry  *prometheus.Registry
	reference map[string]metric.Description
}

// newMeasuredEdge starts an edge with each way to authenticate, and an API server that answers with
// the status code that the request's header X-Code has.
func newMeasuredEdge(t testing.TB) *measuredEdge {
	t.Helper()
	b := newBed(t)
	b.api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code, err := strconv.Atoi(r.Header.Get("X-Code")); err == nil {
			w.WriteHeader(code)
			return
		}
		forgetful(w, r)
	})
	ca, _ := b.clientCertificate("anna", "dev")
	p := b.assembled("--token-passthrough", "--anonymous-paths=/version", "--client-ca-file="+ca, "--unusable-groups=drop")
	e := &measuredEdge{b, p.handler, prometheus.NewPedanticRegistry(), map[string]metric.Description{}}
	for _, s := range p.metrics.sets() {
		e.registry.MustRegister(s)
		for _, d := range s.Reference() {
			e.reference[d.Name] = d
		}
	}
	return e
}

// in returns e for another test: one of a fuzz target may not use that of the target.
func (e *measuredEdge) in(t *testing.T) *measuredEdge {
	return &measuredEdge{&bed{TB: t, issuer: e.issuer, key: e.key}, e.handler, e.registry, e.reference}
}

// call is what a client chooses of a request.
type call struct {
	method, path, query, host string
	authorization             string
	user, group               string // of the token that the request has if authorization is empty
	agent, auditID, as        string
	upgrade, protocol         string
	body                      string
	code                      uint16 // of the API server's answer
}

// serve sends a request to edge's handler. The strings may be some that no HTTP parser lets pass.
func (e *measuredEdge) serve(c call) {
	header := http.Header{"User-Agent": {c.agent}}
	for name, value := range map[string]string{
		"Audit-Id": c.auditID, "Impersonate-User": c.as, "Upgrade": c.upgrade, "Sec-Websocket-Protocol": c.protocol,
		"X-Stream-Protocol-Version": c.protocol, "Authorization": c.authorization,
	} {
		if value != "" {
			header.Set(name, value)
		}
	}
	if c.upgrade != "" {
		header.Set("Connection", "Upgrade")
		header.Set("Sec-WebSocket-Version", "13")
		header.Set("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")
	}
	if c.authorization == "" && c.user != "" {
		header.Set("Authorization", "Bearer "+e.token(map[string]any{"sub": c.user, "groups": []string{c.group}}))
	}
	if code := int(c.code); code >= http.StatusOK && code < 1000 {
		header.Set("X-Code", strconv.Itoa(code))
	}
	ctx, cancel := context.WithTimeout(context.Background(), bedPatience)
	defer cancel()
	r := (&http.Request{
		Method: c.method, URL: &url.URL{Path: c.path, RawQuery: c.query}, Host: c.host, RequestURI: c.path, RemoteAddr: "192.0.2.1:1",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: http.NoBody,
	}).WithContext(ctx)
	if c.body != "" {
		r.Body, r.ContentLength = http.MaxBytesReader(nil, readCloser{strings.NewReader(c.body)}, 1<<20), int64(len(c.body))
	}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	e.handler.ServeHTTP(httptest.NewRecorder(), r)
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// check checks that each metric has at most as many series as the reference says, that each value of
// a label is one that the reference declares, so none came from a client, and that the metrics are
// consistent.
func (e *measuredEdge) check() {
	e.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		e.Fatal(err)
	}
	for _, f := range families {
		d := e.reference[f.GetName()]
		if n := seriesOf(f); n > d.Series {
			e.Errorf("%s has %d series, the reference says %d", f.GetName(), n, d.Series)
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				declared := slices.ContainsFunc(d.Labels, func(of metric.Label) bool { return of.Name == l.GetName() && slices.Contains(of.Values, l.GetValue()) })
				if !declared {
					e.Errorf("%s has the label %s=%q", f.GetName(), l.GetName(), l.GetValue())
				}
			}
		}
	}
}

// seriesOf returns how many time series Prometheus stores of a metric.
func seriesOf(f *dto.MetricFamily) (n int) {
	for _, m := range f.GetMetric() {
		n++
		if h := m.GetHistogram(); h != nil {
			n += len(h.GetBucket()) + 2
		}
	}
	return n
}

// seriesLoad is the number of requests of TestSeriesAreBounded.
const seriesLoad = 1500

// TestSeriesAreBounded sends requests whose every part is random, and checks the series of all
// metrics. It also checks that the names and the help of all metrics follow Prometheus' conventions.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	e := newMeasuredEdge(t)
	random := rand.New(rand.NewPCG(11, 3))
	n := 0
	word := func(from ...string) string {
		if n++; random.IntN(3) == 0 {
			return fmt.Sprintf("w%d\xff\"\n{}", n)
		}
		return from[random.IntN(len(from))]
	}
	for range seriesLoad {
		e.serve(call{
			method: word("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", ""),
			path: word("/api", "/version", "/healthz", "/") + word("", "/v1/pods", "/v1/namespaces/a/pods/b/exec", "/v1/namespaces/a/services/s/proxy/x", "/%2e%2e/") +
				word("", "", "/x"),
			query: word("", "", "watch=1", "command=x&stdout=1"), host: word("edge"),
			authorization: word("", "", "", "Bearer opaque", "Basic YTpi"), user: word("jane", "jane", "system:admin", ""), group: word("dev", "system:masters"),
			agent: word("kubectl"), auditID: word("", "one"), as: word("", "", "bob", "denied-bob"),
			upgrade: word("", "", "", "websocket", "SPDY/3.1", "websocket"), protocol: word("v5.channel.k8s.io", "v4.channel.k8s.io", "portforward.k8s.io"),
			body: word("", "{}"), code: uint16(random.IntN(1200)),
		})
	}
	e.check()
	problems, err := testutil.GatherAndLint(e.registry)
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := e.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests := scraped{}
	for _, f := range families {
		requests[f.GetName()] = f
	}
	if got := requests.value("edge_request_duration_seconds"); got != seriesLoad {
		t.Errorf("%v of %d requests were counted", got, seriesLoad)
	}
	if got := requests.value("edge_requests_in_flight"); got != 0 {
		t.Errorf("%v requests are in flight after the last one", got)
	}
	for _, label := range []string{"code=other", "code=200", "code=401", "verb=other", "verb=CONNECT", "verb=WATCH"} {
		if requests.value("edge_request_duration_seconds", label) == 0 {
			t.Errorf("no request has %s", label)
		}
	}
}

// FuzzSeries checks that no request makes more series than the reference says.
func FuzzSeries(f *testing.F) {
	e := newMeasuredEdge(f)
	f.Add("GET", "/api/v1/pods", "watch=1", "", "jane", "dev", "kubectl", "one", "", "", "", "", uint16(200))
	f.Add("POST", "/api/v1/namespaces/a/pods/b/exec", "command=x", "", "jane", "dev", "kubectl", "", "bob", "websocket", "v5.channel.k8s.io", "", uint16(299))
	f.Add("BREW", "/../x", "\xff", "Bearer opaque", "", "", "\n", "eyJ", "denied-x", "h2c", "x", "body", uint16(777))
	f.Fuzz(func(t *testing.T, method, path, query, authorization, user, group, agent, auditID, as, upgrade, protocol, body string, code uint16) {
		e := e.in(t)
		e.serve(call{
			method: method, path: path, query: query, host: "edge", authorization: authorization, user: user, group: group, agent: agent,
			auditID: auditID, as: as, upgrade: upgrade, protocol: protocol, body: body, code: code,
		})
		e.check()
	})
}
