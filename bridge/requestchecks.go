package bridge

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/status"
	"edge/impersonate"
)

// notIdentified adds a Reason, for the log, to an error of Config.Identify.
func notIdentified(r *http.Request, err error) error {
	var answer apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	// A browser sends no credential with a CORS preflight. So the cause is that the page's origin
	// is not allowed.
	case isPreflight(r):
		return status.Because(status.ReasonOrigin, explainPreflight(err))
	case status.IsAnswer(err):
		return err
	case impersonate.IsUnanswered(err):
		return status.Because(status.ReasonReview, err)
	case errors.Is(err, impersonate.ErrDenied):
		return status.Because(status.ReasonImpersonation, err)
	case !errors.As(err, &answer):
		return status.Because(status.ReasonInternal, err)
	}
	switch answer.Status().Code {
	// Identify parses only the Impersonate-* headers, so a 400 is about these headers.
	case http.StatusBadRequest:
		return status.Because(status.ReasonImpersonation, err)
	case http.StatusForbidden:
		return status.Because(status.ReasonIdentity, err)
	}
	return status.Because(status.ReasonCredential, err)
}

// check refuses requests that edge does not forward, whoever sends them: it checks the method, the
// path, the URL for tokens, and the page that a browser sends the request for, in this order.
func (h *Handler) check(r *http.Request, id impersonate.Identity) error {
	if err := checkMethod(r.Method); err != nil {
		return err
	}
	if err := negotiate.CheckPath(r); err != nil {
		return err
	}
	if err := checkURLToken(r.URL); err != nil {
		return err
	}
	return h.origins.check(r, id)
}

// checkMethod refuses methods that do not apply to the resource in the path. A CONNECT would be
// forwarded without its path. The answer to a TRACE may be the request itself, with edge's
// credential in it (RFC 9110 sections 9.3.6 and 9.3.8).
func checkMethod(method string) error {
	if method == http.MethodConnect || method == http.MethodTrace {
		return status.New(status.ReasonMethod, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "edge: method not allowed: the Kubernetes API does not use CONNECT and TRACE")
	}
	return nil
}

// checkURLToken refuses a request with a token in its URL, because every log on the way would
// record the token (RFC 6750 section 5.3). edge does not read tokens from URLs, so such a client is
// misconfigured. checkURLToken does not check the arguments of a command, or URLs that belong to
// the application behind a proxy subresource.
func checkURLToken(u *url.URL) error {
	if negotiate.IsProxied(u.Path) || !carriesToken(u) {
		return nil
	}
	return TokenInURL()
}

// TokenInURL returns the answer to a request with a token in its URL. Functions for Config.Identify
// return it too: they read the token from the header, and can find the same token in the URL.
func TokenInURL() error {
	return status.BadRequest(status.ReasonURLToken, "a token in a URL ends up in logs: send it in the Authorization header")
}

func carriesToken(u *url.URL) bool {
	if strings.Contains(u.Path, jwtBegin) {
		for segment := range strings.SplitSeq(u.Path, "/") {
			if isJWT(segment) {
				return true
			}
		}
	}
	for pair := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if isTokenParameter(unescaped(name)) && isJWT(unescaped(value)) {
			return true
		}
	}
	return false
}

// isTokenParameter reports whether name is a query parameter in which clients send tokens:
// access_token, which RFC 6750 defines, or one that clients use by mistake.
func isTokenParameter(name string) bool {
	switch strings.ToLower(name) {
	case "access_token", "id_token", "token", "authorization", "bearer":
		return true
	}
	return false
}

// unescaped returns a part of a query without its percent escapes. If s is malformed, it returns s
// unchanged.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// jwtBegin is the base64url encoding of {" with which the header of each JWT begins.
const jwtBegin = "eyJ"

// isJWT reports whether s has the form of a JWS (RFC 7515 section 7.1) or of a JWE, with or without
// "Bearer " in front.
func isJWT(s string) bool {
	if scheme, rest, ok := strings.Cut(s, " "); ok && strings.EqualFold(scheme, "bearer") {
		s = strings.TrimSpace(rest)
	}
	return strings.HasPrefix(s, jwtBegin) && strings.Count(s, ".") >= 2 && strings.Trim(s, base64URL+".=") == ""
}

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
