package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"edge/authn"
	"edge/impersonate"
)

// A gate joins authn and impersonate for bridge: credential to user, user to
// identity. The credential comes off the request here. What the client reads is
// short; why it was refused stands in the log.
type gate struct {
	tokens   *authn.Authenticator
	clientCA *authn.ClientCA // nil: certificates are not looked at
	chain    *authn.Chain
	own      bool // --disable-impersonation
	log      *slog.Logger
}

// newGate reads all that the flags name.
func newGate(o *identityOptions, log *slog.Logger) (*gate, error) {
	g := &gate{own: o.disableImpersonation, log: log}
	var err error
	if g.tokens, err = authn.New(authn.Config{Flags: o.oidc, File: o.config, Log: log}); err != nil {
		return nil, err
	}
	if o.clientCA != "" {
		if g.clientCA, err = authn.NewClientCA(o.clientCA); err != nil {
			return nil, fmt.Errorf("--client-ca-file: %w", err)
		}
	}
	return g, nil
}

// connect gives the gate the API server, for edge's own questions.
func (g *gate) connect(o *identityOptions, upstream *rest.Config) error {
	chain := authn.ChainOptions{Tokens: g.tokens, ClientCA: g.clientCA}
	if o.passthrough {
		client, err := authentication.NewForConfig(upstream)
		if err != nil {
			return err
		}
		chain.Review = authn.NewTokenReviewer(client.TokenReviews(), o.passthroughAudiences, g.log).Review
	}
	g.chain = authn.NewChain(chain)
	return nil
}

// run fetches keys and reads files again, until ctx ends.
func (g *gate) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { g.tokens.Run(ctx) })
	if g.clientCA != nil {
		running.Go(func() { g.clientCA.Run(ctx) })
	}
}

// authorities are whom clients are asked for certificates of; nil: nobody is.
func (g *gate) authorities() dynamiccertificates.CAContentProvider {
	if g.clientCA == nil {
		return nil
	}
	return g.clientCA.Content()
}

// identify is bridge.Config's. With an error, the identity has at most a requestor.
func (g *gate) identify(r *http.Request) (impersonate.Identity, error) {
	got, err := g.chain.Authenticate(r)
	if err != nil {
		return impersonate.Identity{}, g.notAuthenticated(r, err)
	}
	if g.own || got.Reviewed {
		if got.Token == "" { // nothing to go on under; and edge's own credential is no answer
			return impersonate.Identity{Requestor: got.User}, g.notAuthenticated(r, authn.ErrNoCredential)
		}
		return impersonate.Own(got.Token, got.User, r.Header), nil
	}
	id, err := impersonate.FromUser(got.User)
	if err == nil {
		err = impersonate.Refuse(r.Header)
	}
	if err != nil {
		g.log.Info("identity refused", "source", r.RemoteAddr, "user", got.User.GetName(), "error", err.Error())
		return impersonate.Identity{Requestor: got.User}, forbidden(err)
	}
	return id, nil
}

// notAuthenticated is what the client reads: nothing about why, unless it is not
// its credential's fault.
func (g *gate) notAuthenticated(r *http.Request, err error) error {
	var status apierrors.APIStatus
	switch {
	case errors.Is(err, authn.ErrNoCredential):
		return unauthorized()
	case errors.Is(err, authn.ErrNotReady):
		return notReady()
	case errors.Is(err, authn.ErrNoName):
		g.log.Info("identity refused", "source", r.RemoteAddr, "error", err.Error())
		return forbidden(&impersonate.ForbiddenError{Kind: impersonate.ErrNoName, Message: "Username claim not available in OIDC Issuer response"})
	case errors.As(err, &status): // a review that nobody could make
		g.log.Warn("token not reviewed", "error", err.Error())
		return err
	}
	g.log.Info("credential refused", "source", r.RemoteAddr, "error", err.Error())
	return unauthorized()
}

func unauthorized() error { return apierrors.NewUnauthorized("Unauthorized") }

func notReady() error {
	e := apierrors.NewServiceUnavailable("edge: the OIDC issuer's keys are not in hand yet, try again")
	e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return e
}

func forbidden(err error) error {
	message := "Forbidden"
	var refused *impersonate.ForbiddenError
	if errors.As(err, &refused) {
		message = refused.Message
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	}}
}
