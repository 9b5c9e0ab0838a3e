// Package otlp sends spans to a collector with OTLP over HTTP, in protobuf
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
//
// OpenTelemetry's own client for it, otlptracehttp, uses the generated services of the collector, and
// so links gRPC: 2.1 MB more than this package. Package otlptrace, which converts spans to the
// messages, does not.
package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// maxAttempts is how often one batch of spans is sent before it is dropped.
	maxAttempts = 4
	// attemptTimeout limits one attempt, from the connection to the end of the answer.
	attemptTimeout = 10 * time.Second
	// firstRetry is the wait before the second attempt; each further wait is twice the one before,
	// plus up to 10 percent, so that many edges do not return at the same time. A Retry-After of the
	// collector replaces it, up to maxRetry.
	firstRetry = time.Second
	maxRetry   = 30 * time.Second
	// maxAnswer is how many bytes of an answer are read.
	maxAnswer = 64 << 10
)

// Client sends batches of spans to a URL. It implements otlptrace.Client.
type Client struct {
	url    string
	http   *http.Client
	life   context.Context // ends with Abort
	cancel context.CancelFunc
}

// NewClient returns a client that sends spans to a collector's URL, which ends with /v1/traces.
func NewClient(url string, via *http.Client) *Client {
	c := &Client{url: url, http: via}
	c.life, c.cancel = context.WithCancel(context.Background())
	return c
}

// Start implements otlptrace.Client.
func (*Client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *Client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// Abort ends all uploads at once, and makes later ones fail.
func (c *Client) Abort() {
	c.cancel()
	c.http.CloseIdleConnections()
}

// UploadTraces sends a batch. It sends it again if the collector's answer says that a later attempt
// may succeed, until ctx or the number of attempts ends.
func (c *Client) UploadTraces(ctx context.Context, spans []*tracev1.ResourceSpans) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	body, err := encode(spans)
	if err != nil {
		return err
	}
	wait := firstRetry
	for attempt := 1; ; attempt++ {
		after, again, err := c.send(ctx, body)
		if err == nil || !again || attempt == maxAttempts || ctx.Err() != nil {
			return err
		}
		if after == 0 {
			after = wait + rand.N(wait/10)
		}
		wait *= 2
		timer := time.NewTimer(min(after, maxRetry))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; the last attempt: %w", ctx.Err(), err)
		case <-timer.C:
		}
	}
}

// encode returns the body of a request with these spans.
func encode(spans []*tracev1.ResourceSpans) ([]byte, error) {
	// TracesData has the fields of ExportTraceServiceRequest, which belongs to the generated services.
	message, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	if _, err := zip.Write(message); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// send sends a batch once. If it fails, again reports whether a later attempt may succeed, and after
// is the wait that the collector asked for, or 0.
func (c *Client) send(ctx context.Context, body []byte) (after time.Duration, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, false, err
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("Content-Encoding", "gzip")
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, true, err
	}
	defer answer.Body.Close()
	// An answer that breaks off is as good as its status code. It is read to its end, so that its
	// connection can be used again.
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch answer.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, false, rejected(said)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return retryAfter(answer.Header.Get("Retry-After")), again, fmt.Errorf("the collector answered %s", answer.Status)
}

// retryAfter returns the wait that a header Retry-After asks for, at most maxRetry, or 0 if it asks
// for none.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		if seconds > int(maxRetry/time.Second) { // also if it is too large for a Duration
			return maxRetry
		}
		return time.Duration(max(seconds, 0)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), maxRetry)
}
