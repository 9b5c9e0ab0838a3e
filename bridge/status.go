package bridge

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// failure makes the Status that says why edge itself ends a request.
func failure(code int, reason metav1.StatusReason, message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure,
		Code:     int32(code),
		Reason:   reason,
		Message:  message,
	}}
}

// statusOf turns any error into a Status: an APIStatus speaks for itself, any
// other is an internal error whose text stays in the log.
func statusOf(err error) metav1.Status {
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		s := known.Status()
		s.APIVersion, s.Kind = "v1", "Status"
		if s.Code == 0 {
			s.Code = http.StatusInternalServerError
		}
		return s
	}
	return failure(http.StatusInternalServerError, metav1.StatusReasonInternalError, "edge: internal error").ErrStatus
}

// writeStatus answers a request with a Status; clients that ask for text only
// get its message.
func writeStatus(w http.ResponseWriter, r *http.Request, err error) {
	s := statusOf(err)
	body, contentType := encodeStatus(s), "application/json"
	if accept := r.Header.Get("Accept"); strings.HasPrefix(accept, "text/") && !strings.Contains(accept, "application/json") {
		body, contentType = []byte(s.Message+"\n"), "text/plain; charset=utf-8"
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache, private")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.Code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if d := s.Details; d != nil && d.RetryAfterSeconds > 0 {
		h.Set("Retry-After", strconv.Itoa(int(d.RetryAfterSeconds)))
	}
	if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.auditID != "" {
		h.Set(auditID, refused.auditID)
	}
	w.WriteHeader(int(s.Code))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

func encodeStatus(s metav1.Status) []byte {
	body, err := json.Marshal(s)
	if err != nil { // a Status is plain data
		panic(err)
	}
	return body
}
