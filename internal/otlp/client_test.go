package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"edge/internal/testkit"
)

// batch is a batch of one span.
func batch() []*tracev1.ResourceSpans {
	return []*tracev1.ResourceSpans{{ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{{Name: "a span"}}}}}}
}

// received returns the request that a collector got. It uses the generated message of the
// collector's service, which edge does not link.
func received(t *testing.T, r *http.Request) *collectorv1.ExportTraceServiceRequest {
	t.Helper()
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%s with header %v", r.Method, r.Header)
	}
	zip, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Error(err)
		return nil
	}
	body, err := io.ReadAll(zip)
	if err != nil {
		t.Error(err)
	}
	var message collectorv1.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &message); err != nil {
		t.Error(err)
	}
	return &message
}

// TestUpload sends a batch to a server with TLS, as a collector has it.
func TestUpload(t *testing.T) {
	t.Parallel()
	got := make(chan *collectorv1.ExportTraceServiceRequest, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- received(t, r)
		body, _ := proto.Marshal(&collectorv1.ExportTraceServiceResponse{})
		w.Write(body)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	testkit.StartTLS(server)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	c := NewClient(server.URL+"/v1/traces", &http.Client{Transport: transport})
	if err := c.UploadTraces(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	if name := (<-got).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName(); name != "a span" {
		t.Errorf("the collector got %q", name)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestUploadChecksTheCertificate checks that no span goes to a server that edge does not trust.
func TestUploadChecksTheCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server got a request") }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	testkit.StartTLS(server)
	defer server.Close()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	defer transport.CloseIdleConnections()
	_, _, err := NewClient(server.URL, &http.Client{Transport: transport}).send(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "x509") {
		t.Error(err)
	}
}

// collector is a collector in the same process, whose answers come without a network, so that
// synctest can move the time.
type collector struct {
	answers []func() (*http.Response, error)
	at      []time.Duration // when the attempts came
	start   time.Time
}

func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	c.at = append(c.at, time.Since(c.start))
	next := c.answers[min(len(c.at), len(c.answers))-1]
	io.Copy(io.Discard, r.Body)
	return next()
}

// says returns an answer with this code, body and header lines in pairs.
func says(code int, body []byte, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		resp := &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		for i := 0; i < len(header); i += 2 {
			resp.Header.Set(header[i], header[i+1])
		}
		return resp, nil
	}
}

func refuses() (*http.Response, error) { return nil, errors.New("connection refused") }

// TestRetry checks when a batch is sent again. The times are lower bounds in seconds: each wait is
// up to 10 percent longer, so that the whole seconds below do not change.
func TestRetry(t *testing.T) {
	t.Parallel()
	ok := says(http.StatusOK, nil)
	type answers = []func() (*http.Response, error)
	date := func(after time.Duration) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			return says(http.StatusServiceUnavailable, nil, "Retry-After", time.Now().Add(after).UTC().Format(http.TimeFormat))()
		}
	}
	for name, c := range map[string]struct {
		answers answers
		at      []int // seconds of the attempts
		fails   string
	}{
		"no failure":                      {answers{ok}, []int{0}, ""},
		"accepted":                        {answers{says(http.StatusAccepted, nil)}, []int{0}, ""},
		"unavailable once":                {answers{says(503, nil), ok}, []int{0, 1}, ""},
		"always unavailable":              {answers{says(503, nil)}, []int{0, 1, 3, 7}, "Service Unavailable"},
		"each code that may pass":         {answers{says(429, nil), says(502, nil), says(504, nil), ok}, []int{0, 1, 3, 7}, ""},
		"no collector":                    {answers{refuses}, []int{0, 1, 3, 7}, "connection refused"},
		"a code that does not pass":       {answers{says(400, nil)}, []int{0}, "Bad Request"},
		"an error of the collector":       {answers{says(500, nil)}, []int{0}, "Internal Server Error"},
		"a redirect":                      {answers{says(307, nil, "Location", "http://elsewhere.example/")}, []int{0}, "Temporary Redirect"},
		"Retry-After in seconds":          {answers{says(429, nil, "Retry-After", "5"), ok}, []int{0, 5}, ""},
		"Retry-After as a date":           {answers{date(7 * time.Second), ok}, []int{0, 7}, ""},
		"Retry-After in the past":         {answers{date(-time.Hour), ok}, []int{0, 1}, ""},
		"a long Retry-After":              {answers{says(503, nil, "Retry-After", "99999999999999999"), ok}, []int{0, 30}, ""},
		"a long Retry-After, as a date":   {answers{date(1000 * time.Hour), ok}, []int{0, 30}, ""},
		"a negative Retry-After":          {answers{says(503, nil, "Retry-After", "-5"), ok}, []int{0, 1}, ""},
		"a Retry-After that is not one":   {answers{says(503, nil, "Retry-After", "soon"), ok}, []int{0, 1}, ""},
		"Retry-After counts for one wait": {answers{says(503, nil, "Retry-After", "9"), says(503, nil), ok}, []int{0, 9, 11}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &collector{answers: c.answers, start: time.Now()}
				client := NewClient("http://collector.example/v1/traces", &http.Client{
					Transport: server, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
				})
				err := client.UploadTraces(t.Context(), batch())
				if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				var at []int
				for _, after := range server.at {
					at = append(at, int(after/time.Second))
				}
				if len(at) != len(c.at) {
					t.Fatalf("attempts at %v, want %v", server.at, c.at)
				}
				for i := range at {
					if at[i] != c.at[i] {
						t.Errorf("attempts at %v, want %v", server.at, c.at)
					}
				}
			})
		})
	}
}

// silentServer never answers.
type silentServer struct{ attempts int }

func (s *silentServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.attempts++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestUploadEnds checks that an upload to a collector that never answers ends: by itself, with its
// context, and when the client is aborted.
func TestUploadEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end      func(*Client) (context.Context, context.CancelFunc)
		most     time.Duration
		attempts int
	}{
		"by itself": {func(*Client) (context.Context, context.CancelFunc) {
			return context.WithCancel(context.Background())
		}, maxAttempts*attemptTimeout + 8*time.Second, maxAttempts},
		"with its context": {func(*Client) (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 3*time.Second)
		}, 3 * time.Second, 1},
		"between two attempts": {func(*Client) (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), attemptTimeout+firstRetry/2)
		}, attemptTimeout + firstRetry/2, 1},
		"aborted": {func(c *Client) (context.Context, context.CancelFunc) {
			time.AfterFunc(2*time.Second, c.Abort)
			return context.WithCancel(context.Background())
		}, 2 * time.Second, 1},
		"aborted before": {func(c *Client) (context.Context, context.CancelFunc) {
			c.Abort()
			return context.WithCancel(context.Background())
		}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := new(silentServer)
				client := NewClient("http://collector.example/v1/traces", &http.Client{Transport: server})
				ctx, cancel := c.end(client)
				defer cancel()
				start := time.Now()
				if err := client.UploadTraces(ctx, batch()); err == nil {
					t.Error("no error")
				}
				if took := time.Since(start); took > c.most {
					t.Errorf("ended after %v of the bubble's time, want %v at most", took, c.most)
				}
				if server.attempts > c.attempts {
					t.Errorf("%d attempts, want %d at most", server.attempts, c.attempts)
				}
			})
		})
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) { e.read += len(b); return len(b), nil }
func (*endless) Close() error                 { return nil }

// TestAnswerIsBounded checks that edge reads only the begin of an answer without an end.
func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	for _, code := range []int{http.StatusOK, http.StatusBadRequest} {
		body := new(endless)
		server := &collector{start: time.Now(), answers: []func() (*http.Response, error){func() (*http.Response, error) {
			return &http.Response{StatusCode: code, Body: body}, nil
		}}}
		err := NewClient("http://collector.example", &http.Client{Transport: server}).UploadTraces(t.Context(), batch())
		if (err == nil) != (code == http.StatusOK) {
			t.Error(code, err)
		}
		if body.read > 2*maxAnswer {
			t.Errorf("%d: edge read %d bytes", code, body.read)
		}
	}
}

// TestPartialSuccess checks that spans that a collector rejects in an answer with 200 are an error,
// after which the batch is not sent again.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	marshal := func(rejected int64, message string) []byte {
		body, err := proto.Marshal(&collectorv1.ExportTraceServiceResponse{
			PartialSuccess: &collectorv1.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: message},
		})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for name, c := range map[string]struct {
		body []byte
		want string // "": no error
	}{
		"everything is accepted": {marshal(0, ""), ""},
		"an empty answer":        {nil, ""},
		"two are rejected":       {marshal(2, "too old"), "rejected 2 spans: too old"},
		"a warning":              {marshal(0, "soon full"), "rejected 0 spans: soon full"},
		"a long reason":          {marshal(1, strings.Repeat("x", 2*maxReason)), "rejected 1 spans: " + strings.Repeat("x", maxReason)},
		"not a message":          {[]byte("<html>"), ""},
		"cut":                    {marshal(2, "too old")[:4], ""},
		"JSON":                   {[]byte(`{"partialSuccess":{}}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &collector{start: time.Now(), answers: []func() (*http.Response, error){says(http.StatusOK, c.body)}}
			err := NewClient("http://collector.example", &http.Client{Transport: server}).UploadTraces(t.Context(), batch())
			if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if len(server.at) != 1 {
				t.Errorf("%d attempts", len(server.at))
			}
		})
	}
}

func FuzzRejected(f *testing.F) {
	for _, partial := range []*collectorv1.ExportTracePartialSuccess{nil, {}, {RejectedSpans: 3, ErrorMessage: "x"}, {RejectedSpans: -1}} {
		body, err := proto.Marshal(&collectorv1.ExportTraceServiceResponse{PartialSuccess: partial})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := rejected(body)
		var want collectorv1.ExportTraceServiceResponse
		if proto.Unmarshal(body, &want) != nil {
			return // a malformed answer only must not crash edge
		}
		p := want.GetPartialSuccess()
		if has := p.GetRejectedSpans() != 0 || p.GetErrorMessage() != ""; has && err == nil {
			t.Errorf("%v is no error", p)
		}
	})
}
