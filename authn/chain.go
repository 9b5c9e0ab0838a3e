package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/internal/tracing"
)

// Tokens verifies bearer tokens and decides which paths need no credential. An [Authenticator] does
// both.
type Tokens interface {
	Authenticate(ctx context.Context, token string) (Verified, error)
	Anonymous(path string) bool
}

// ChainOptions configure how a [Chain] authenticates requests.
type ChainOptions struct {
	Tokens   Tokens
	ClientCA *ClientCA // nil: client certificates are ignored
	// AnonymousPaths are paths that need no credential, in addition to the paths that the field
	// Tokens allows.
	AnonymousPaths AnonymousPaths
	// Review asks the API server for the user of a token that the field Tokens refuses. Nil: edge
	// refuses such a token.
	Review func(ctx context.Context, token string) (user.Info, error)
	// Metrics, if set, counts the requests by credential and result.
	Metrics *Metrics
}

// Chain authenticates a request by the first method that accepts it: client certificate, bearer
// token of an issuer, token review, anonymous. kube-apiserver uses the same order.
type Chain struct{ o ChainOptions }

// NewChain returns a Chain, which authenticates requests and is safe for concurrent use.
func NewChain(o ChainOptions) *Chain { return &Chain{o} }

// Authenticate returns the user who sends a request. In any case it removes all credentials from
// the request's header, and the request's token from its URL.
//
// The error is [ErrNoCredential], [ErrNotReady], [ErrNoName], [ErrTokenInURL], a [RefusedError] or
// an [edge/review.Error]. With any error, the returned Result is empty. A request whose credential
// is refused never becomes anonymous.
func (c *Chain) Authenticate(r *http.Request) (Result, error) {
	if c.o.Metrics == nil {
		return c.checked(r)
	}
	start := time.Now()
	who, err := c.checked(r)
	c.o.Metrics.attempt(who, err, time.Since(start))
	return who, err
}

// checked is Authenticate without metrics.
func (c *Chain) checked(r *http.Request) (who Result, err error) {
	ctx, end := tracing.Begin(r.Context(), tracing.Authenticate)
	defer func() { end(err) }()
	token, sent, unreadable := Credential(r)
	Strip(r.Header)
	shown := sent && StripURL(r.URL, token)
	who, err = c.authenticate(ctx, r, token, sent, unreadable)
	if err != nil {
		return Result{}, err
	}
	if shown {
		return Result{}, ErrTokenInURL
	}
	if !hasName(who.User) {
		return Result{}, ErrNoName
	}
	return who, nil
}

func (c *Chain) authenticate(ctx context.Context, r *http.Request, token string, sent bool, unreadable error) (Result, error) {
	var wrong error // why the client certificate was refused; nil: it was not refused
	if c.o.ClientCA != nil {
		who, ok, err := c.o.ClientCA.authenticate(r)
		if ok {
			return who, nil
		}
		wrong = err
	}
	switch {
	case unreadable != nil:
		return Result{}, mostHelpful(unreadable, wrong)
	case sent:
		return c.byToken(ctx, token, wrong)
	case wrong != nil:
		return Result{}, wrong
	case !c.o.AnonymousPaths.allow(r) && !c.o.Tokens.Anonymous(r.URL.Path):
		return Result{}, ErrNoCredential
	}
	nobody := &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	return Result{User: nobody, Kind: Anonymous}, nil
}

// byToken authenticates a request by its token only. certificate is the error of the request's
// client certificate, or nil. If byToken fails, its error also contains certificate.
func (c *Chain) byToken(ctx context.Context, token string, certificate error) (Result, error) {
	verified, err := c.o.Tokens.Authenticate(ctx, token)
	if err == nil {
		return Result{User: verified.User, Kind: BearerToken, Expires: verified.Expires, Token: token, issuer: verified.Place}, nil
	}
	if c.o.Review == nil {
		return Result{}, mostHelpful(err, certificate)
	}
	reviewed, reviewErr := c.o.Review(ctx, token)
	if reviewErr == nil {
		return Result{User: reviewed, Kind: BearerToken, Token: token, Reviewed: true}, nil
	}
	return Result{}, mostHelpful(err, reviewErr, certificate)
}

func hasName(u user.Info) bool {
	if u == nil {
		return false
	}
	if known, ok := u.(*user.DefaultInfo); ok && known == nil {
		return false
	}
	return u.GetName() != ""
}

// mostHelpful combines several errors about one request's credentials into one error; it ignores
// nil. The first error that is not a refusal is the main one, because the credential may be good.
// If all errors are refusals, the first refusal gives the reason and the message for the client.
// The text of the other errors is appended for the log.
func mostHelpful(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	first := max(0, slices.IndexFunc(errs, func(err error) bool { return !isRefusal(err) }))
	if len(errs) == 1 {
		return errs[first]
	}
	var others strings.Builder
	for i, err := range errs {
		if i != first {
			others.WriteString("; " + detailOf(err))
		}
	}
	if known, ok := errors.AsType[*RefusedError](errs[first]); ok {
		return &RefusedError{Reason: known.Reason, Detail: known.Detail + others.String(), ClientMessage: known.ClientMessage, Issuer: known.Issuer}
	}
	return fmt.Errorf("%w%s", errs[first], others.String())
}

func isRefusal(err error) bool { return errors.As(err, new(*RefusedError)) }

func detailOf(err error) string {
	if known, ok := errors.AsType[*RefusedError](err); ok {
		return string(known.Reason) + ": " + known.Detail
	}
	return err.Error()
}
