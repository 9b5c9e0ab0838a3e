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

// notIdentified gives a Reason to what Config.Identify says.
func notIdentified(r *http.Request, err error) error {
	var answer apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case isPreflight(r): // a browser sends no credential with it: to whom it belongs is the question
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
	case http.StatusBadRequest: // nothing but Impersonate-* headers is read of a request
		return status.Because(status.ReasonImpersonation, err)
	case http.StatusForbidden:
		return status.Because(status.ReasonIdentity, err)
	}
	return status.Because(status.ReasonCredential, err)
}

// checkMethod refuses those that are not about what their path names: CONNECT goes
// on without its path, and the answer to a TRACE may be the request itself, with
// edge's credential (RFC 9110 sections 9.3.6 and 9.3.8).
func checkMethod(method string) error {
	if method == http.MethodConnect || method == http.MethodTrace {
		return status.New(status.ReasonMethod, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "edge: CONNECT and TRACE are not for the Kubernetes API")
	}
	return nil
}

// checkURLToken refuses a token in a URL, where every log on the way keeps it (RFC
// 6750 section 5.3). Nobody reads one there: who sends it has mistaken edge for
// something that does, and goes without. A command's arguments and what belongs to
// the application behind a proxy are not edge's to judge.
func checkURLToken(u *url.URL) error {
	if negotiate.IsProxied(u.Path) || !carriesToken(u) {
		return nil
	}
	return TokenInURL()
}

// TokenInURL is the answer to a request with a token in its URL, also for Config.Identify, which knows the request's own.
func TokenInURL() error {
	return status.BadRequest(status.ReasonURLToken, "a token in a URL ends up in logs; send it in Authorization")
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

// isTokenParameter knows the names under which tokens are sent in queries, RFC
// 6750's own and those that are taken for it.
func isTokenParameter(name string) bool {
	switch strings.ToLower(name) {
	case "access_token", "id_token", "token", "authorization", "bearer":
		return true
	}
	return false
}

// unescaped is a part of a query, or that as it stands where it is not well-formed.
func unescaped(s string) string {
	if clear, err := url.QueryUnescape(s); err == nil {
		return clear
	}
	return s
}

// jwtBegin is base64url of {" with which each token's header begins.
const jwtBegin = "eyJ"

// isJWT knows the shape of a JWS (RFC 7515 section 7.1) and of a JWE, with or
// without a scheme in front.
func isJWT(s string) bool {
	if scheme, rest, ok := strings.Cut(s, " "); ok && strings.EqualFold(scheme, "bearer") {
		s = strings.TrimSpace(rest)
	}
	return strings.HasPrefix(s, jwtBegin) && strings.Count(s, ".") >= 2 && strings.Trim(s, base64URL+".=") == ""
}

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
