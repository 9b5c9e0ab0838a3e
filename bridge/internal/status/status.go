package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// New returns an Error, an answer of edge's own. why is the Reason for the log; code, reason and
// message are the fields of the Status for the client.
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

// Of returns the Status for err. An APIStatus is returned as it is. Any other error becomes a 500
// without details, because its text is only for the log.
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

// SetHeader sets the header of an answer whose body is a Status.
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

// HeaderAuditID is the canonical key of Audit-ID in an http.Header.
const HeaderAuditID = "Audit-Id"

// SetAuditID sets the Audit-ID of edge's own answer err to a request: that of the API server's
// answer, if err replaces one, or else the request's. kube-apiserver's own answers have it, too.
func SetAuditID(h, request http.Header, err error) {
	id := request.Get(HeaderAuditID)
	if own := (*Error)(nil); errors.As(err, &own) && own.AuditID != "" {
		id = own.AuditID
	}
	if id != "" { // "": no bridge has seen the request
		h.Set(HeaderAuditID, id)
	}
}

func Encode(s metav1.Status) []byte {
	body, err := json.Marshal(s)
	if err != nil { // cannot happen: a Status is plain data
		panic(err)
	}
	return body
}
