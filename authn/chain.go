package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"
)

// Tokens verifies bearer tokens, and knows where none is needed.
type Tokens interface {
	Authenticate(ctx context.Context, token string) (Verified, error)
	Anonymous(path string) bool
}

// ChainOptions are the ways to say who one is.
type ChainOptions struct {
	Tokens   Tokens
	ClientCA *ClientCA // nil: certificates are not looked at
	// AnonymousPaths are where nothing is needed, beside what Tokens says.
	AnonymousPaths AnonymousPaths
	// Review asks the API server about a token that Tokens does not accept; nil: nobody does.
	Review func(ctx context.Context, token string) (user.Info, error)
}

// Chain authenticates requests, by the first that accepts one: certificate, token, review, anonymous. That is kube-apiserver's
// order.
type Chain struct{ o ChainOptions }

// NewChain returns a Chain. It may be used by many goroutines.
func NewChain(o ChainOptions) *Chain { return &Chain{o} }

// Authenticate tells who sends a request. Whatever comes of it, no credential is left in its header, nor the token in its URL.
//
// The error is [ErrNoCredential], [ErrNotReady], [ErrNoName], [ErrTokenInURL], a [RefusedError] or an [edge/review.Error];
// there is no user then. A credential that is not accepted makes nobody anonymous.
func (c *Chain) Authenticate(r *http.Request) (Result, error) {
	token, sent, unreadable := Credential(r)
	Strip(r.Header)
	shown := sent && StripURL(r.URL, token)
	who, err := c.authenticate(r, token, sent, unreadable)
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

func (c *Chain) authenticate(r *http.Request, token string, sent bool, unreadable error) (Result, error) {
	var wrong error // with the certificate
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
		return c.byToken(r.Context(), token, wrong)
	case wrong != nil:
		return Result{}, wrong
	case !c.o.AnonymousPaths.allow(r) && !c.o.Tokens.Anonymous(r.URL.Path):
		return Result{}, ErrNoCredential
	}
	nobody := &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	return Result{User: nobody, Kind: Anonymous}, nil
}

// byToken goes by the token alone; certificate is what was wrong with the other credential, or nil.
func (c *Chain) byToken(ctx context.Context, token string, certificate error) (Result, error) {
	verified, err := c.o.Tokens.Authenticate(ctx, token)
	if err == nil {
		return Result{User: verified.User, Kind: BearerToken, Expires: verified.Expires, Token: token}, nil
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

// mostHelpful makes one error of those that are not nil. What nobody knows yet comes before a refusal: the credential may be
// good. Otherwise the first one's reason stays, with what its holder is told. The others are added to it for the log.
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
	if known, ok := errs[first].(*RefusedError); ok {
		return &RefusedError{Reason: known.Reason, Detail: known.Detail + others.String(), ClientMessage: known.ClientMessage}
	}
	return fmt.Errorf("%w%s", errs[first], others.String())
}

func isRefusal(err error) bool { return errors.As(err, new(*RefusedError)) }

func detailOf(err error) string {
	if known, ok := err.(*RefusedError); ok {
		return string(known.Reason) + ": " + known.Detail
	}
	return err.Error()
}
