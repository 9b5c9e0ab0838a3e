package ops_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"edge/internal/testkit"
	"edge/ops"
)

// scrapes starts a server with the metrics of all collectors.
func scrapes(t *testing.T, log io.Writer, all ...prometheus.Collector) *httptest.Server {
	t.Helper()
	metrics, err := ops.Metrics(slog.New(slog.NewTextHandler(log, nil)), all...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ops.NewServer(ops.Options{Ready: func() error { return nil }, Notes: func() []string { return nil }, Metrics: metrics}).Handler)
	t.Cleanup(server.Close)
	return server
}

// scrape asks for /metrics with header lines in pairs of name and value, and returns the answer and
// its body as it came.
func scrape(t *testing.T, method string, server *httptest.Server, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// counted is a counter for tests.
func counted(name string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "A."})
	c.Inc()
	return c
}

// TestMetricsFormats checks the format, the compression and the methods of /metrics.
func TestMetricsFormats(t *testing.T) {
	t.Parallel()
	duration := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "edge_a_seconds", Help: "A.", Buckets: []float64{1}})
	duration.(prometheus.ExemplarObserver).ObserveWithExemplar(0.5, prometheus.Labels{"audit_id": "one"})
	server := scrapes(t, io.Discard, duration, counted("edge_b_total"))
	const exemplar = `# {audit_id="one"} 0.5`
	for accept, c := range map[string]struct{ kind, has string }{
		"":                             {"text/plain; version=0.0.4", "\nedge_b_total 1\n"},
		"text/plain":                   {"text/plain; version=0.0.4", "\ngo_goroutines "},
		"application/openmetrics-text": {"application/openmetrics-text; version=", exemplar},
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": {"application/vnd.google.protobuf", "edge_b_total"},
	} {
		resp, body := scrape(t, http.MethodGet, server, "Accept", accept)
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, c.kind) || !strings.Contains(body, c.has) {
			t.Errorf("%q: %s %q, without %q", accept, resp.Status, kind, c.has)
		}
		if strings.HasPrefix(c.kind, "text/plain") && strings.Contains(body, "audit_id") {
			t.Errorf("%q: an exemplar, for which this format has no syntax", accept)
		}
		resp, packed := scrape(t, http.MethodGet, server, "Accept", accept, "Accept-Encoding", "gzip")
		unpacked, err := gzip.NewReader(strings.NewReader(packed))
		if err != nil {
			t.Fatalf("%q: %v %v", accept, resp.Header, err)
		}
		if text, err := io.ReadAll(unpacked); err != nil || !bytes.Contains(text, []byte(c.has)) || resp.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%q with gzip: %v %v", accept, resp.Header, err)
		}
	}
	if resp, body := scrape(t, http.MethodHead, server); resp.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD: %s %q", resp.Status, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		if resp, body := scrape(t, method, server); resp.StatusCode != http.StatusMethodNotAllowed || strings.Contains(body, "edge_") {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
}

// collector is a collector whose values a test decides.
type collector struct {
	desc    *prometheus.Desc
	collect func(ch chan<- prometheus.Metric)
}

func (c collector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }
func (c collector) Collect(ch chan<- prometheus.Metric) { c.collect(ch) }

// TestOneCollectorFails checks that the metrics of all other collectors are served, and that the log
// has the error.
func TestOneCollectorFails(t *testing.T) {
	t.Parallel()
	desc := prometheus.NewDesc("edge_bad", "A.", nil, nil)
	bad := collector{desc, func(ch chan<- prometheus.Metric) {
		ch <- prometheus.NewInvalidMetric(desc, errors.New("the disk is gone"))
	}}
	log := new(testkit.Buffer)
	resp, body := scrape(t, http.MethodGet, scrapes(t, log, bad, counted("edge_good_total")))
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "\nedge_good_total 1\n") || strings.Contains(body, "edge_bad") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if !strings.Contains(log.String(), "the disk is gone") {
		t.Errorf("the log has %q", log)
	}
	if _, err := ops.Metrics(slog.New(slog.DiscardHandler), counted("edge_good_total"), counted("edge_good_total")); err == nil {
		t.Error("two metrics with the same name")
	}
}

// TestScrapesAreBounded checks that edge answers 8 scrapes at the same time, refuses another one at
// once, and answers again when one of them has ended.
func TestScrapesAreBounded(t *testing.T) {
	t.Parallel()
	const most = 8
	began, end := make(chan struct{}), make(chan struct{})
	desc := prometheus.NewDesc("edge_slow", "A.", nil, nil)
	slow := collector{desc, func(ch chan<- prometheus.Metric) {
		began <- struct{}{}
		<-end
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1)
	}}
	server := scrapes(t, io.Discard, slow)
	codes := make(chan int, most+1)
	start := func() {
		go func() {
			resp, _ := scrape(t, http.MethodGet, server)
			codes <- resp.StatusCode
		}()
		<-began
	}
	for range most {
		start()
	}
	if resp, body := scrape(t, http.MethodGet, server); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more scrape: %s %s", resp.Status, body)
	}
	end <- struct{}{}
	if code := <-codes; code != http.StatusOK {
		t.Error(code)
	}
	start()
	for range most {
		end <- struct{}{}
		if code := <-codes; code != http.StatusOK {
			t.Error(code)
		}
	}
}
