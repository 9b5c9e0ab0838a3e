package serving

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tooLarge is the answer that net/http writes over HTTP/1.1, in one write, to refuse a header above
// MaxHeaderBytes.
const tooLarge = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"431 Request Header Fields Too Large"

// refusal is a Status with which edge answers a request that no handler sees.
type refusal struct{ metav1.Status }

func refuse(code int, reason metav1.StatusReason, message string) refusal {
	return refusal{metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "edge: " + message,
	}}
}

// headersTooLarge returns a 431 as kube-apiserver sends it, with the limit, the parameter most, in
// its message.
func headersTooLarge(most int) refusal {
	return refuse(http.StatusRequestHeaderFieldsTooLarge, metav1.StatusReasonRequestEntityTooLarge,
		fmt.Sprintf("the request's header is larger than %d KiB", most>>10))
}

// retrySeconds is the Retry-After, in seconds, of the 503 from overBudget. A flood of headers ends
// within seconds, with the connections that carry it.
const retrySeconds = 1

// overBudget returns a 503 and not a 431: the request may be valid, but it came while the memory
// budget was exhausted.
func overBudget(limit int64) refusal {
	s := refuse(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("the headers of unauthenticated requests use all of the %d MiB reserved for them; try again", limit>>20))
	s.Details = &metav1.StatusDetails{RetryAfterSeconds: retrySeconds}
	return s
}

func (s refusal) body() []byte {
	body, err := json.Marshal(s.Status)
	if err != nil { // cannot happen: a Status is plain data
		panic(err)
	}
	return body
}

// onTheWire returns the complete HTTP/1.1 answer as bytes, to be written without a handler. The
// connection is closed after it.
func (s refusal) onTheWire() []byte {
	body, retry := s.body(), ""
	if s.Details != nil {
		retry = "Retry-After: " + strconv.Itoa(int(s.Details.RetryAfterSeconds)) + "\r\n"
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n",
		s.Code, http.StatusText(int(s.Code)), len(body), retry)
	return append([]byte(head), body...)
}

// write writes the Status as a handler's answer.
func (s refusal) write(w http.ResponseWriter) {
	body := s.body()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(int(s.Code))
	w.Write(body)
}
