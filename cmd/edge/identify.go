package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"edge/audit"
	"edge/authn"
	"edge/bridge"
	"edge/impersonate"
	"edge/serving"
)

// gate connects the packages authn and impersonate to bridge. It authenticates the credential of a
// request and removes it, and derives the identity from the user. The access log shows the full
// reason of a refusal; the client gets only what authn and impersonate disclose.
type gate struct {
	tokens   *authn.Authenticator
	clientCA *authn.ClientCA // nil: client certificates are ignored
	chain    *authn.Chain
	policy   *impersonate.Policy
	review   func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error
	paths    bool // whether --anonymous-paths is set
	// passAllTokens sends every request upstream with the client's own token
	// (--disable-impersonation).
	passAllTokens bool
}

// newGate creates a gate and reads the files that the flags name. Call connect before using the
// gate.
func newGate(o *identityOptions, m *measures, log *slog.Logger) (*gate, error) {
	g := &gate{passAllTokens: o.disableImpersonation, paths: len(o.anonymousPaths) > 0}
	var err error
	if g.tokens, err = authn.New(authn.Options{Flags: o.oidc, File: o.config, Log: log, Metrics: m.authn()}); err != nil {
		return nil, err
	}
	if o.clientCA != "" {
		if g.clientCA, err = authn.NewClientCA(o.clientCA); err != nil {
			return nil, fmt.Errorf("--client-ca-file: %w", err)
		}
		g.clientCA.CachePerConnection(func(r *http.Request) *atomic.Value { return serving.Of(r).Kept() })
	}
	return g, nil
}

// connect prepares the gate's own requests to the API server. credential authenticates these
// requests, upstream limits their rate.
func (g *gate) connect(o *identityOptions, credential *bridge.Credential, upstream *rest.Config, m *measures, log *slog.Logger) error {
	asEdge, err := edgeClient(credential)
	if err != nil {
		return err
	}
	chain := authn.ChainOptions{Tokens: g.tokens, ClientCA: g.clientCA, Metrics: m.authn()}
	if chain.AnonymousPaths, err = authn.NewAnonymousPaths(o.anonymousPaths); err != nil {
		return fmt.Errorf("--anonymous-paths: %w", err)
	}
	if o.passthrough {
		client, err := authentication.NewForConfigAndClient(upstream, asEdge)
		if err != nil {
			return err
		}
		reviewer := authn.NewTokenReviewer(client.TokenReviews(), o.passthroughAudiences, log)
		reviewer.Measure(m.review())
		chain.Review = reviewer.Review
	}
	g.chain = authn.NewChain(chain)

	client, err := authorization.NewForConfigAndClient(upstream, asEdge)
	if err != nil {
		return err
	}
	reviewer := impersonate.NewReviewer(client.SubjectAccessReviews())
	reviewer.Measure(m.review())
	passthrough, err := impersonate.NewPassthroughReviewer(upstream)
	if err != nil {
		return err
	}
	g.review = impersonate.ReviewBy(reviewer, passthrough)
	extra, err := o.extraValues()
	if err != nil {
		return err
	}
	g.policy, err = impersonate.NewPolicy(impersonate.PolicyConfig{
		Ask: reviewer, AllowSystem: o.allowSystem, DropUnusable: o.unusableGroups == groupsDrop, Extra: extra, ClientIP: o.clientIP,
		Constrained: impersonate.NewConstrainedDetector(upstream, asEdge.Transport, log).Offered,
	})
	if err != nil {
		return fmt.Errorf("--allow-system-identities, --extra-user-headers: %w", err)
	}
	return nil
}

// run fetches the issuers' keys and reloads files until ctx ends.
func (g *gate) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { g.tokens.Run(ctx) })
	if g.clientCA != nil {
		running.Go(func() { g.clientCA.Run(ctx) })
	}
}

// authorities returns the certificate authorities that edge announces when it requests client
// certificates; nil: edge requests none.
func (g *gate) authorities() dynamiccertificates.CAContentProvider {
	if g.clientCA == nil {
		return nil
	}
	return g.clientCA.Content()
}

// identify is the function bridge.Config.Identify. If identify returns an error, the returned
// identity has only the field Requestor, or no field at all if authentication failed.
func (g *gate) identify(r *http.Request) (impersonate.Identity, error) {
	got, err := g.chain.Authenticate(r)
	if err != nil {
		err = notAuthenticated(err)
		if apierrors.IsUnauthorized(err) {
			serving.Of(r).Refused()
		}
		return impersonate.Identity{}, err
	}
	anonymous := got.Kind == authn.Anonymous
	if !anonymous {
		serving.Of(r).Authenticated()
	}
	nobody := impersonate.Identity{Requestor: got.User}
	if g.passAllTokens || got.Reviewed { // the client's token goes upstream, and the API server decides whom it may impersonate
		if err := impersonate.CheckHeaders(r.Header); err != nil {
			return nobody, err
		}
		if got.Token == "" { // no token to forward; edge's own credential must not replace it
			serving.Of(r).Refused()
			return nobody, notAuthenticated(authn.ErrNoCredential)
		}
		return impersonate.TokenPassthrough(got.Token, got.User, r.Header), nil
	}
	if g.paths && anonymous {
		if err := impersonate.ForbidImpersonation(r.Header); err != nil {
			return nobody, err
		}
	}
	id, err := g.policy.Identity(r.Context(), got.User, impersonate.Request{
		Header:     r.Header,
		ClientIP:   bridge.ClientIP(r),
		Attributes: func() (authorizer.Attributes, error) { return audit.Attributes(r) },
		Bearer:     !got.Kind.Ambient(),
		Stream:     bridge.BeginsStream(r),
		Anonymous:  anonymous,
	})
	if err != nil {
		return nobody, err
	}
	return id, nil
}

// notAuthenticated returns the error for the client. The error states a reason in two cases only:
// the cause is not a credential that was refused (for example, an issuer's keys are not loaded), or
// the error is for the holder of a token whose signature, issuer and audience are valid.
func notAuthenticated(err error) error {
	var status apierrors.APIStatus
	switch {
	case errors.Is(err, authn.ErrNotReady):
		e := apierrors.NewServiceUnavailable("edge: the OIDC issuer's keys are not loaded yet, try again")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
		return &refusal{e, err}
	case errors.Is(err, authn.ErrNoName):
		return &refusal{&apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: "Username claim not available in OIDC Issuer response",
		}}, err}
	case errors.Is(err, authn.ErrTokenInURL):
		return bridge.TokenInURL()
	case errors.As(err, &status): // the API server could not review the token
		return err
	}
	message := "Unauthorized"
	if refused := (*authn.RefusedError)(nil); errors.As(err, &refused) && refused.ClientMessage != "" {
		message += ": " + refused.ClientMessage
	}
	return &refusal{apierrors.NewUnauthorized(message), err}
}
