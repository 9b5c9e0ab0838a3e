package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"edge/bridge/internal/status"
)

// Wrap wraps next, a transport made with Config that sends the credential. When the API server
// refuses the credential with 401, Wrap's transport reads the credential again and repeats the
// request. This is safe because the API server authenticates before it does anything else. If the
// request cannot be repeated, a request that impersonates gets an error with a 503 Status. A
// request that does not impersonate is edge's own; it gets the 401, and its sender handles it.
//
// A request that already has an Authorization header passes unchanged. The function retire is
// called to make later requests use new connections.
func (c *Credential) Wrap(next http.RoundTripper, retire func()) (http.RoundTripper, error) {
	base, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return nil, fmt.Errorf("bridge: invalid API server address: %w", err)
	}
	return &credentialed{own: c, next: next, retire: retire, question: base.JoinPath(questionPath).String()}, nil
}

// Transport returns the transport for edge's own requests to the API server. All callers share it.
func (c *Credential) Transport() (http.RoundTripper, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own != nil {
		return c.own, nil
	}
	next, closeNext, err := newTransport(c.config, &c.doubt)
	if err != nil {
		return nil, err
	}
	if c.own, err = c.Wrap(next, func() { utilnet.CloseIdleConnectionsFor(next) }); err != nil {
		closeNext()
		return nil, err
	}
	c.close = closeNext
	return c.own, nil
}

// Close closes the transport that c.Transport returned.
func (c *Credential) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.close != nil {
		c.close()
	}
}

// credentialed is the transport that Wrap returns. It finds out whether a 401 is about edge's own
// credential.
type credentialed struct {
	own      *Credential
	next     http.RoundTripper
	retire   func()
	age      atomic.Uint32 // generation: how often retireConnections was called
	question string        // URL of the SelfSubjectReview
}

// CloseIdleConnections is called by http.Client.
func (t *credentialed) CloseIdleConnections() { utilnet.CloseIdleConnectionsFor(t.next) }

// WrappedRoundTripper lets client-go find the transports below its wrappers.
func (t *credentialed) WrappedRoundTripper() http.RoundTripper { return t.next }

// RoundTrip sends req, and sends it once more if edge's credential was refused and replaced.
func (t *credentialed) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header["Authorization"]) > 0 {
		return t.next.RoundTrip(req)
	}
	age := t.age.Load()
	resp, err := t.send(req)
	if !isRefused(resp, err) {
		return resp, err
	}
	v, done, doneErr := t.judged(req, resp, err, age)
	if v.holds || !v.replaced {
		return done, doneErr
	}
	if !mayRepeat(req) {
		return notRepeated(req, resp, err)
	}
	closeBody(resp) // before GetBody is called: until then the transport may read the request's body
	again, bodyErr := repeated(req)
	if bodyErr != nil {
		return notRepeated(req, resp, err)
	}
	age = t.age.Load()
	if resp, err = t.send(again); !isRefused(resp, err) {
		return resp, err
	}
	if v, done, doneErr = t.judged(req, resp, err, age); v.holds || !v.replaced {
		return done, doneErr
	}
	return notRepeated(req, resp, err) // the credential of this second attempt was refused and replaced too
}

// judged returns the final answer or error of req. If the credential that req sent was refused and
// replaced, it returns that verdict instead, and req can be sent again.
func (t *credentialed) judged(req *http.Request, resp *http.Response, err error, age uint32) (verdict, *http.Response, error) {
	v, left := t.own.verdictOn(req.Context(), t, sentBy(resp), age)
	switch {
	case left != nil:
		closeBody(resp)
		return verdict{}, nil, left
	case v.holds || v.replaced:
		return v, resp, err
	}
	t.own.refuse()
	resp, err = notAccepted(req, resp, err)
	return v, resp, err
}

// send sends req once. If the API server accepts edge's credential again after a refusal, send
// records that.
func (t *credentialed) send(req *http.Request) (*http.Response, error) {
	since := t.own.refused.Load()
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == unauthorizedByCredential {
		resp.StatusCode = http.StatusUnauthorized
	}
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode < http.StatusInternalServerError {
		t.own.accepted(since)
	}
	return resp, nil
}

func isRefused(resp *http.Response, err error) bool {
	if err != nil {
		return errors.Is(err, ErrNoCredential)
	}
	return resp.StatusCode == http.StatusUnauthorized
}

// sentBy returns the Authorization header of the request that got resp, or "".
func sentBy(resp *http.Response) string {
	if resp == nil || resp.Request == nil {
		return ""
	}
	return resp.Request.Header.Get("Authorization")
}

func closeBody(resp *http.Response) {
	if resp == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxQuestionAnswer) // so that the connection can be used again
	resp.Body.Close()
	resp.Body = http.NoBody // the caller may still get resp, without its body
}

func mayRepeat(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// repeated returns a copy of req for the second attempt, without the Authorization header of the
// first.
func repeated(req *http.Request) (*http.Request, error) {
	again := req.WithContext(req.Context())
	again.Header = req.Header.Clone()
	again.Header.Del("Authorization")
	if req.Body == nil || req.Body == http.NoBody {
		return again, nil
	}
	var err error
	again.Body, err = req.GetBody()
	return again, err
}

// notAccepted returns the answer or error for req while the API server refuses edge's credential.
func notAccepted(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	return ended(req, resp, err, refusedRetryAfter, "edge: the API server does not accept edge's own credential. "+
		"Your own credential is not the cause, and nothing was done: the operator of edge has to fix this")
}

// notRepeated returns the answer or error for req if its body cannot be sent again with the new
// credential.
func notRepeated(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	return ended(req, resp, err, 1, "edge: the API server no longer accepted edge's own credential, and edge has another one now. "+
		"Nothing was done: try again")
}

func ended(req *http.Request, resp *http.Response, err error, retryAfter int32, message string) (*http.Response, error) {
	if len(req.Header["Impersonate-User"]) == 0 {
		return resp, err
	}
	refused := status.New(status.ReasonOwnCredential, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message)
	refused.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
	if resp != nil {
		refused.AuditID = resp.Header.Get(status.HeaderAuditID)
		closeBody(resp)
	}
	return nil, refused
}

// question is a SelfSubjectReview, by which edge finds out whether its credential is valid: every
// authenticated user may create one.
var question = []byte(`{"apiVersion":"` + authenticationv1.SchemeGroupVersion.String() + `","kind":"SelfSubjectReview"}`)

const questionPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

// ask sends a SelfSubjectReview with the parameter sent as the Authorization header, or, if sent is
// "", with edge's current credential. The result holds states whether the API server accepts the
// credential. If the API server does not answer, or answers with a 5xx, holds is true and known is
// false.
func (t *credentialed) ask(ctx context.Context, sent string) (holds, known bool) {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.question, bytes.NewReader(question))
	if err != nil {
		return true, false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if sent != "" {
		req.Header.Set("Authorization", sent)
	}
	resp, err := t.send(req)
	if isRefused(resp, err) {
		closeBody(resp)
		return false, true
	}
	if err != nil {
		return true, false
	}
	closeBody(resp)
	return true, resp.StatusCode < http.StatusInternalServerError
}

func (t *credentialed) generation() uint32 { return t.age.Load() }

func (t *credentialed) retireConnections() {
	t.age.Add(1)
	t.retire()
}
