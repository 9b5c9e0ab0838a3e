package main

import (
	"errors"
	"log/slog"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/authn"
	"edge/impersonate"
)

// identify joins authn and impersonate for bridge: credential to user, user to
// identity. The credential comes off the request here. What the client reads is
// short; why it was refused stands in the log.
func identify(auth *authn.Authenticator, log *slog.Logger) func(*http.Request) (impersonate.Identity, error) {
	return func(r *http.Request) (impersonate.Identity, error) {
		token, ok, err := authn.Credential(r)
		authn.Strip(r.Header)
		if err == nil && !ok {
			return impersonate.Identity{}, unauthorized()
		}
		var verified authn.Verified
		if err == nil {
			verified, err = auth.Authenticate(r.Context(), token)
		}
		switch {
		case errors.Is(err, authn.ErrNotReady):
			return impersonate.Identity{}, notReady()
		case err != nil:
			log.Info("credential refused", "source", r.RemoteAddr, "error", err.Error())
			return impersonate.Identity{}, unauthorized()
		}
		id, err := impersonate.FromUser(verified.User)
		if err == nil {
			err = impersonate.Refuse(r.Header)
		}
		if err != nil {
			log.Info("identity refused", "source", r.RemoteAddr, "user", verified.User.GetName(), "error", err.Error())
			return impersonate.Identity{}, forbidden(err)
		}
		return id, nil
	}
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
