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
	// minTokenLifetime and maxTokenLifetime are the API's own bounds (ValidateTokenRequest).
	minTokenLifetime = 10 * time.Minute
	maxTokenLifetime = (math.MaxUint32 + 1) * time.Second
	// tokenRequestTimeout bounds one request for a token, edge's start too.
	tokenRequestTimeout = 10 * time.Second
	// tokenRequestInterval is the least time between one request's end and the next, but for failed ones: however
	// short the API server makes a token, and however often it answers 401.
	tokenRequestInterval = 10 * time.Second
)

// tokenRetry paces requests after one that failed: from a second, doubled, to a
// minute, and up to half as much again so that replicas spread.
var tokenRetry = backoff.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: math.MaxInt32, Cap: time.Minute}

// tokenRequest says what token edge goes upstream with.
type tokenRequest struct {
	account  string // of a ServiceAccount, as namespace/name
	audience []string
	lifetime time.Duration
}

func (o tokenRequest) validate() error {
	namespace, name, ok := strings.Cut(o.account, "/")
	if !ok || len(validation.ValidateNamespaceName(namespace, false)) > 0 || len(validation.ValidateServiceAccountName(name, false)) > 0 {
		return fmt.Errorf("--upstream-token-request: %q is not the namespace/name of a ServiceAccount", o.account)
	}
	if o.lifetime < minTokenLifetime || o.lifetime > maxTokenLifetime {
		return fmt.Errorf("--upstream-token-request-lifetime: %v is not between 10m and 2^32 seconds, which is what the API takes", o.lifetime)
	}
	return nil
}

// upstreamToken is edge's own credential at the API server: a token of a
// ServiceAccount, asked for with another credential and renewed in time.
type upstreamToken struct {
	o         tokenRequest
	bootstrap *rest.Config
	accounts  core.ServiceAccountInterface
	name      string
	log       *slog.Logger

	current  atomic.Pointer[edgeToken] // nil: there was none yet
	failure  atomic.Pointer[error]     // of the newest request; nil: it was answered
	replaced chan struct{}             // another is in hand than run knows of

	renewing chan struct{} // one request at a time; guards what follows
	renewed  time.Time     // when the newest request for a token ended
}

// edgeToken never changes. Its times are by this machine's clock.
type edgeToken struct {
	value          string
	asked, expires time.Time
}

// renewAt is when four fifths of a token's life are over.
func (t *edgeToken) renewAt() time.Time {
	return t.asked.Add(max(t.expires.Sub(t.asked)*4/5, tokenRequestInterval))
}

// newUpstreamToken asks for the first token with the bootstrap's credential. An
// API server that says no is an error. One that cannot be reached is asked again
// by run, and ready tells.
func newUpstreamToken(ctx context.Context, bootstrap *rest.Config, o tokenRequest, log *slog.Logger) (*upstreamToken, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	// What bridge looks at, too, but after a credential would have gone out.
	if bootstrap.Impersonate.UserName != "" {
		return nil, errors.New("--upstream-token-request: the kubeconfig impersonates (\"as\")")
	}
	if url, _, err := rest.DefaultServerUrlFor(bootstrap); err != nil || url.Scheme != "https" {
		return nil, errors.New("--upstream-token-request: the API server's address is not an https one")
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
		log.Warn("no token for edge itself yet; retrying", "account", o.account, "error", err.Error())
	}
	return u, nil
}

// fault says what somebody has to change before edge can have a token; empty:
// nothing, or nobody knows.
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
		return "the API server does not take the request"
	}
	return ""
}

// config is the bootstrap's way to the API server, with the token in place of
// the bootstrap's credential.
func (u *upstreamToken) config() *rest.Config {
	cfg := rest.AnonymousClientConfig(u.bootstrap)
	cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return &tokenTransport{u, next} }
	return cfg
}

// ready tells whether there is a token that is still good.
func (u *upstreamToken) ready() error {
	if u.usable() != nil {
		return nil
	}
	if failure := u.failure.Load(); failure != nil {
		return fmt.Errorf("%w: %w", errNoEdgeToken, *failure)
	}
	return errNoEdgeToken
}

// usable returns the token in hand unless it has expired.
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
			u.log.Warn("edge's own token is not renewed; retrying", "account", u.o.account, "error", err.Error())
		default:
			u.log.Info("edge's own token is renewed", "account", u.o.account, "expires", u.current.Load().expires)
			retry = tokenRetry
		}
		timer.Reset(u.wait(&retry))
	}
}

// wait is the time until the next request.
func (u *upstreamToken) wait(retry *backoff.Backoff) time.Duration {
	if u.failure.Load() != nil {
		return retry.Step()
	}
	return time.Until(u.current.Load().renewAt())
}

// replace asks for another token at once, in place of one that the API server does not accept: its account may be another
// one by the same name, or the API server's key. It is bridge.CredentialConfig's Renew.
func (u *upstreamToken) replace(ctx context.Context, refused string) {
	if u.lockRenewing(ctx) != nil {
		return
	}
	defer u.unlockRenewing()
	if t := u.usable(); t != nil && refused != bearer+t.value { // it is replaced already
		return
	}
	if time.Since(u.renewed) < tokenRequestInterval {
		return
	}
	if err := u.renewLocked(ctx); err != nil {
		u.log.Warn("edge's own token is refused, and is not renewed", "account", u.o.account, "error", err.Error())
		return
	}
	u.log.Info("edge's own token was refused, and is renewed", "account", u.o.account, "expires", u.current.Load().expires)
	select {
	case u.replaced <- struct{}{}:
	default:
	}
}

// renew asks once. A failure leaves the token in hand as it is.
func (u *upstreamToken) renew(ctx context.Context) error {
	if err := u.lockRenewing(ctx); err != nil {
		return err
	}
	defer u.unlockRenewing()
	return u.renewLocked(ctx)
}

// lockRenewing waits until no other request for a token is under way, or until ctx ends: an API server that hangs holds up nobody
// who has left.
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
		return nil, errors.New("the answer has no token that can be sent")
	}
	// The API server's clock may differ from this machine's: what counts is the time between two times of its own.
	from := answer.CreationTimestamp.Time
	if from.IsZero() {
		from = asked
	}
	lifetime := answer.Status.ExpirationTimestamp.Sub(from)
	if lifetime <= 0 {
		return nil, errors.New("the answer's token has expired already")
	}
	return &edgeToken{value: answer.Status.Token, asked: asked, expires: asked.Add(lifetime)}, nil
}

const bearer = "Bearer "

// tokenTransport sends the token, unless a request has a credential already.
type tokenTransport struct {
	source *upstreamToken
	next   http.RoundTripper
}

// RoundTrip never sends a request without a credential: it would be anonymous.
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

// WrappedRoundTripper is for client-go, which looks through wrappers.
func (t *tokenTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
