package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"edge/bridge"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// tokenMaker is a fake API server that grants tokens. It needs no network, so that synctest
// controls the time. Its clock is three hours ahead of edge's.
type tokenMaker struct {
	t       *testing.T
	longest time.Duration // maximum lifetime of the granted tokens; 0: the requested lifetime is granted

	mu    sync.Mutex
	code  int // status code of its answers; 0: it grants tokens
	asked []authenticationv1.TokenRequestSpec
}

func (m *tokenMaker) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.URL.Path == "/apis/authentication.k8s.io/v1/selfsubjectreviews" && r.Header.Get("Authorization") == "Bearer bootstrap" {
		return answer(r, max(m.code, http.StatusCreated), "x"), nil
	}
	if r.Method != http.MethodPost || r.URL.Host+r.URL.Path != "api.example/api/v1/namespaces/edge/serviceaccounts/front/token" ||
		r.Header.Get("Authorization") != "Bearer bootstrap" {
		m.t.Errorf("asked %s %s", r.Method, r.URL)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	var request authenticationv1.TokenRequest
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &request); err != nil {
		return nil, err
	}
	m.asked = append(m.asked, request.Spec)
	if m.code != 0 {
		status := metav1.Status{Status: metav1.StatusFailure, Code: int32(m.code), Reason: reasons[m.code], Message: "because"}
		return answer(r, m.code, status), nil
	}
	lifetime := time.Duration(*request.Spec.ExpirationSeconds) * time.Second
	if m.longest > 0 {
		lifetime = min(lifetime, m.longest)
	}
	now := time.Now().Add(3 * time.Hour)
	request.CreationTimestamp = metav1.NewTime(now)
	request.Status.Token = fmt.Sprint("own-", len(m.asked))
	request.Status.ExpirationTimestamp = metav1.NewTime(now.Add(lifetime))
	return answer(r, http.StatusCreated, request), nil
}

var reasons = map[int]metav1.StatusReason{
	400: metav1.StatusReasonBadRequest, 401: metav1.StatusReasonUnauthorized, 403: metav1.StatusReasonForbidden,
	404: metav1.StatusReasonNotFound, 422: metav1.StatusReasonInvalid, 500: metav1.StatusReasonInternalError,
	503: metav1.StatusReasonServiceUnavailable,
}

func answer(r *http.Request, code int, document any) *http.Response {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: io.NopCloser(bytes.NewReader(body)),
	}
}

func (m *tokenMaker) answerWith(code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.code = code
}

func (m *tokenMaker) requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

func (m *tokenMaker) bootstrap() *rest.Config {
	return &rest.Config{
		Host: "https://api.example", BearerToken: "bootstrap", Timeout: time.Minute,
		WrapTransport: func(http.RoundTripper) http.RoundTripper { return m },
	}
}

var hourly = tokenRequest{account: "edge/front", audience: []string{"api"}, lifetime: time.Hour}

// startToken creates an upstreamToken and runs it until the test ends. The returned function send
// sends a request to upstream that uses the token, and returns the credential that the request had.
func startToken(t *testing.T, m *tokenMaker, o tokenRequest, log *slog.Logger, upstream func(*http.Request) int) (u *upstreamToken, send func() (string, error)) {
	t.Helper()
	u, err := newUpstreamToken(t.Context(), m.bootstrap(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); u.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	var seen string
	cfg := u.config()
	tokens := cfg.WrapTransport
	cfg.WrapTransport = func(http.RoundTripper) http.RoundTripper {
		return tokens(roundTripper(func(r *http.Request) (*http.Response, error) {
			seen = r.Header.Get("Authorization")
			return answer(r, upstream(r), "x"), nil
		}))
	}
	own, err := bridge.NewCredential(bridge.CredentialConfig{Upstream: cfg, Renew: u.replace, Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	transport, err := own.Transport()
	if err != nil {
		t.Fatal(err)
	}
	return u, func() (string, error) {
		seen = ""
		req, err := http.NewRequest(http.MethodGet, "https://api.example/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if len(req.Header) > 0 {
			t.Error("the caller's request was changed")
		}
		return strings.TrimPrefix(seen, "Bearer "), err
	}
}

func ok(*http.Request) int { return http.StatusOK }

var silent = slog.New(slog.DiscardHandler)
