package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	backoff "k8s.io/apimachinery/pkg/util/wait"
	core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"edge/bridge"
)

const (
	// minTokenLifetime and maxTokenLifetime are the API server's limits for a requested lifetime
	// (function ValidateTokenRequest of Kubernetes).
	minTokenLifetime = 10 * time.Minute
	maxTokenLifetime = (math.MaxUint32 + 1) * time.Second
	// tokenRequestTimeout limits one request for a token, also while edge starts.
	tokenRequestTimeout = 10 * time.Second
	// tokenRequestInterval is the minimum time from the end of a successful token request to the
	// next request. It holds even if the API server grants very short lifetimes or keeps answering
	// 401. After a failed request, tokenRetry sets the wait.
	tokenRequestInterval = 10 * time.Second
)

// tokenRetry sets the wait after a failed token request: 1 s, doubled each time up to 1 min, plus
// up to 50% at random so that replicas do not retry at the same time.
var tokenRetry = backoff.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: math.MaxInt32, Cap: time.Minute}

// tokenRequest describes the ServiceAccount token that edge requests for itself.
type tokenRequest struct {
	account  string // the ServiceAccount, as namespace/name
	audience []string
	lifetime time.Duration
}

func (o tokenRequest) validate() error {
	namespace, name, ok := strings.Cut(o.account, "/")
	if !ok || len(validation.ValidateNamespaceName(namespace, false)) > 0 || len(validation.ValidateServiceAccountName(name, false)) > 0 {
		return fmt.Errorf("--upstream-token-request: %q is not the namespace/name of a ServiceAccount", o.account)
	}
	if o.lifetime < minTokenLifetime || o.lifetime > maxTokenLifetime {
		return fmt.Errorf("--upstream-token-request-lifetime: %v is not between 10m and 2^32 seconds, the limits of the API", o.lifetime)
	}
	return nil
}

// upstreamToken is edge's own credential at the API server: a ServiceAccount token that edge
// requests with another credential, and renews before it expires.
type upstreamToken struct {
	o         tokenRequest
	bootstrap *rest.Config
	accounts  core.ServiceAccountInterface
	name      string
	log       *slog.Logger

	current  atomic.Pointer[edgeToken] // nil: edge has not received a token yet
	failure  atomic.Pointer[error]     // error of the latest request; nil: it succeeded
	replaced chan struct{}             // the method replace signals the method run that there is a new token

	renewing chan struct{} // holds one value while a token is requested; guards the field renewed
	renewed  time.Time     // when the latest token request ended
}

// edgeToken is a token of edge's ServiceAccount, with its times on this machine's clock. It is
// immutable.
type edgeToken struct {
	value          string
	asked, expires time.Time
}

// renewAt returns when to renew the token: after four fifths of its lifetime, but not before
// tokenRequestInterval.
func (t *edgeToken) renewAt() time.Time {
	return t.asked.Add(max(t.expires.Sub(t.asked)*4/5, tokenRequestInterval))
}

// newUpstreamToken requests the first token with the credential in bootstrap. It returns an error
// if the API server refuses. If the API server cannot be reached, the method run repeats the
// request, and the method ready returns an error until a token is granted.
func newUpstreamToken(ctx context.Context, bootstrap *rest.Config, o tokenRequest, log *slog.Logger) (*upstreamToken, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	// Package bridge refuses such a configuration as well, but only after edge would have sent the
	// bootstrap credential.
	if bootstrap.Impersonate.UserName != "" {
		return nil, errors.New("--upstream-token-request: the kubeconfig must not impersonate a user (\"as\")")
	}
	if url, _, err := rest.DefaultServerUrlFor(bootstrap); err != nil || url.Scheme != "https" {
		return nil, errors.New("--upstream-token-request: the API server's address must use https")
	}
	first, err := bridge.NewCredential(bridge.CredentialConfig{Upstream: bootstrap, Log: log.With("of", "token requests")})
	if err != nil {
		return nil, fmt.Errorf("--upstream-token-request: %w", err)
	}
	asEdge, err := edgeClient(first)
	if err != nil {
		return nil, fmt.Errorf("--upstream-token-request: %w", err)
	}
	client, err := core.NewForConfigAndClient(bootstrap, asEdge)
	if err != nil {
		return nil, fmt.Errorf("--upstream-token-request: %w", err)
	}
	namespace, name, _ := strings.Cut(o.account, "/")
	u := &upstreamToken{
		o: o, bootstrap: bootstrap, accounts: client.ServiceAccounts(namespace), name: name, log: log,
		replaced: make(chan struct{}, 1), renewing: make(chan struct{}, 1),
	}
	switch err := u.renew(ctx); {
	case u.fault(err) != "":
		return nil, fmt.Errorf("--upstream-token-request: %w", err)
	case err != nil:
		log.Warn("failed to get the first token for edge itself; retrying", "account", o.account, "error", err.Error())
	}
	return u, nil
}

// fault returns what the operator has to change before edge can get a token. It returns "" if there
// is nothing to change, or if the cause is not known.
func (u *upstreamToken) fault(err error) string {
	namespace, name, _ := strings.Cut(u.o.account, "/")
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("edge's credential needs a Role in namespace %s with verb create on resource serviceaccounts/token, resourceNames [%s]", namespace, name)
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("there is no ServiceAccount %s in namespace %s", name, namespace)
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept edge's credential"
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return "the API server rejects the token request"
	}
	return ""
}

// config returns a configuration for the same API server as bootstrap, with the requested token
// instead of the credential of bootstrap.
func (u *upstreamToken) config() *rest.Config {
	cfg := rest.AnonymousClientConfig(u.bootstrap)
	cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return &tokenTransport{u, next} }
	return cfg
}

// ready returns nil if there is a token that has not expired.
func (u *upstreamToken) ready() error {
	if u.usable() != nil {
		return nil
	}
	if failure := u.failure.Load(); failure != nil {
		return fmt.Errorf("%w: %w", errNoEdgeToken, *failure)
	}
	return errNoEdgeToken
}

// usable returns the current token, or nil if there is none or it has expired.
func (u *upstreamToken) usable() *edgeToken {
	if t := u.current.Load(); t != nil && time.Now().Before(t.expires) {
		return t
	}
	return nil
}

// run renews the token until ctx ends.
func (u *upstreamToken) run(ctx context.Context) {
	retry := tokenRetry
	timer := time.NewTimer(u.wait(&retry))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.replaced:
			retry = tokenRetry
			timer.Reset(u.wait(&retry))
			continue
		case <-timer.C:
		}
		err := u.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			u.log.Warn("failed to renew edge's own token; retrying", "account", u.o.account, "error", err.Error())
		default:
			u.log.Info("renewed edge's own token", "account", u.o.account, "expires", u.current.Load().expires)
			retry = tokenRetry
		}
		timer.Reset(u.wait(&retry))
	}
}

// wait returns the time until the next token request.
func (u *upstreamToken) wait(retry *backoff.Backoff) time.Duration {
	if u.failure.Load() != nil {
		return retry.Step()
	}
	return time.Until(u.current.Load().renewAt())
}

// replace requests a new token immediately, because the API server refused the current one. For
// example, the ServiceAccount was deleted and created again, or the API server's signing key
// changed. replace is bridge.CredentialConfig.Renew.
func (u *upstreamToken) replace(ctx context.Context, refused string) {
	if u.lockRenewing(ctx) != nil {
		return
	}
	defer u.unlockRenewing()
	if t := u.usable(); t != nil && refused != bearer+t.value { // already replaced by another call
		return
	}
	if time.Since(u.renewed) < tokenRequestInterval {
		return
	}
	if err := u.renewLocked(ctx); err != nil {
		u.log.Warn("the API server refused edge's own token, and renewing it failed", "account", u.o.account, "error", err.Error())
		return
	}
	u.log.Info("the API server refused edge's own token; renewed it", "account", u.o.account, "expires", u.current.Load().expires)
	select {
	case u.replaced <- struct{}{}:
	default:
	}
}

// renew sends one token request. If it fails, the current token stays in use.
func (u *upstreamToken) renew(ctx context.Context) error {
	if err := u.lockRenewing(ctx); err != nil {
		return err
	}
	defer u.unlockRenewing()
	return u.renewLocked(ctx)
}

// lockRenewing waits until no other token request is in progress, or until ctx ends. So an API
// server that does not answer does not block callers whose ctx has ended.
func (u *upstreamToken) lockRenewing(ctx context.Context) error {
	select {
	case u.renewing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *upstreamToken) unlockRenewing() { <-u.renewing }

func (u *upstreamToken) renewLocked(ctx context.Context) error {
	defer func() { u.renewed = time.Now() }()
	ctx, cancel := context.WithTimeout(ctx, tokenRequestTimeout)
	defer cancel()
	t, err := u.request(ctx)
	if fault := u.fault(err); fault != "" {
		err = fmt.Errorf("%s: %w", fault, err)
	}
	if err != nil {
		u.failure.Store(&err)
		return err
	}
	u.current.Store(t)
	u.failure.Store(nil)
	return nil
}

func (u *upstreamToken) request(ctx context.Context) (*edgeToken, error) {
	asked := time.Now()
	seconds := int64(u.o.lifetime / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: u.o.audience, ExpirationSeconds: &seconds}}
	answer, err := u.accounts.CreateToken(ctx, u.name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if answer.Status.Token == "" || !httpguts.ValidHeaderFieldValue(answer.Status.Token) {
		return nil, errors.New("the response has no token, or one that is not valid in a header")
	}
	// Use only the difference of two times of the API server, because its clock may differ from
	// this machine's.
	from := answer.CreationTimestamp.Time
	if from.IsZero() {
		from = asked
	}
	lifetime := answer.Status.ExpirationTimestamp.Sub(from)
	if lifetime <= 0 {
		return nil, errors.New("the token in the response has already expired")
	}
	return &edgeToken{value: answer.Status.Token, asked: asked, expires: asked.Add(lifetime)}, nil
}

const bearer = "Bearer "

// tokenTransport adds the current ServiceAccount token to requests that have no credential yet.
type tokenTransport struct {
	source *upstreamToken
	next   http.RoundTripper
}

// RoundTrip fails if edge has no usable token: without a credential the request would be anonymous.
func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header["Authorization"]) > 0 {
		return t.next.RoundTrip(req)
	}
	token := t.source.usable()
	if token == nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, errNoEdgeToken
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", bearer+token.value)
	return t.next.RoundTrip(req)
}

// WrappedRoundTripper lets client-go unwrap the transport.
func (t *tokenTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
