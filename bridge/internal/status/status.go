package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// New makes an answer of edge's own: the Status that says why it ends a request,
// and why for the log.
func New(why Reason, code int, reason metav1.StatusReason, message string) *Error {
	return &Error{StatusError: &apierrors.StatusError{ErrStatus: Failure(code, reason, message)}, reason: why}
}

func BadRequest(why Reason, format string, args ...any) error {
	return New(why, http.StatusBadRequest, metav1.StatusReasonBadRequest, "edge: "+fmt.Sprintf(format, args...))
}

func Failure(code int, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Code:     int32(code),
		Reason:   reason,
		Message:  message,
	}
}

// Of turns any error into a Status: an APIStatus speaks for itself, any
// other is an internal error whose text stays in the log.
func Of(err error) metav1.Status {
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		s := known.Status()
		s.APIVersion, s.Kind = "v1", "Status"
		if s.Code == 0 {
			s.Code = http.StatusInternalServerError
		}
		return s
	}
	return Failure(http.StatusInternalServerError, metav1.StatusReasonInternalError, "edge: internal error")
}

// unauthorized begins what a 401 says.
const unauthorized = "Unauthorized"

// text is a Status as the client reads it: who reads none gets its message. Of "Unauthorized: why" who asks for text gets the
// word, as from kube-oidc-proxy.
func text(s metav1.Status, r *http.Request) (body []byte, contentType string) {
	accept := r.Header.Get("Accept")
	switch {
	case strings.HasPrefix(accept, "text/") && !strings.Contains(accept, "application/json"):
		if s.Code == http.StatusUnauthorized && strings.HasPrefix(s.Message, unauthorized+": ") {
			s.Message = unauthorized
		}
	case s.Code == http.StatusUnauthorized || !takesRaw(r):
		return Encode(s), "application/json"
	}
	return []byte(s.Message + "\n"), "text/plain; charset=utf-8"
}

// takesRaw knows two requests whose answers client-go takes as they are, with which kubectl, helm and k9s begin: all of discovery
// at once, and the version. Of an error there that is no text it shows "unknown", and of a 401 words of its own in any case.
func takesRaw(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	if r.URL.Path == "/version" && accept == "application/json, */*" {
		return true
	}
	return strings.Contains(accept, "g=apidiscovery.k8s.io")
}

// warnRaw says why in a Warning (RFC 7234 section 5.5) where a client would not read it otherwise: client-go shows those.
func warnRaw(h http.Header, s metav1.Status, r *http.Request) {
	if s.Code != http.StatusUnauthorized || s.Message == unauthorized || !takesRaw(r) {
		return
	}
	if warning, err := utilnet.NewWarningHeader(299, "", s.Message); err == nil {
		h.Set("Warning", warning)
	}
}

// SetHeader sets the header of an answer that is a Status.
func SetHeader(h http.Header, s metav1.Status, length int, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(length))
	h.Set("Cache-Control", "no-cache, private")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.Code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if d := s.Details; d != nil && d.RetryAfterSeconds > 0 {
		h.Set("Retry-After", strconv.Itoa(int(d.RetryAfterSeconds)))
	}
}

// HeaderAuditID is how net/http spells Audit-ID in a header map.
const HeaderAuditID = "Audit-Id"

// SetAuditID names the API server's answer that an answer of edge's own replaces.
func SetAuditID(h http.Header, err error) {
	if own := (*Error)(nil); errors.As(err, &own) && own.AuditID != "" {
		h.Set(HeaderAuditID, own.AuditID)
	}
}

func Encode(s metav1.Status) []byte {
	body, err := json.Marshal(s)
	if err != nil { // a Status is plain data
		panic(err)
	}
	return body
}
