package serving

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tooLarge is how net/http refuses a header above its MaxHeaderBytes over HTTP/1.1, in one write.
const tooLarge = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"431 Request Header Fields Too Large"

// refusal is a Status that answers a request which no handler sees.
type refusal struct{ metav1.Status }

func refuse(code int, reason metav1.StatusReason, message string) refusal {
	return refusal{metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "edge: " + message,
	}}
}

// headersTooLarge is kube-apiserver's 431, with the bound in it.
func headersTooLarge(most int) refusal {
	return refuse(http.StatusRequestHeaderFieldsTooLarge, metav1.StatusReasonRequestEntityTooLarge,
		fmt.Sprintf("the request's header is larger than %d KiB", most>>10))
}

// retrySeconds is when to come again: a flood of headers ends with the connections that carry it, within seconds.
const retrySeconds = 1

// overBudget is a 503, not a 431: the request may be a good one, and come at a bad time.
func overBudget(limit int64) refusal {
	s := refuse(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("requests that are not authenticated yet hold %d MiB of headers, and no more is read for them; try again", limit>>20))
	s.Details = &metav1.StatusDetails{RetryAfterSeconds: retrySeconds}
	return s
}

func (s refusal) body() []byte {
	body, err := json.Marshal(s.Status)
	if err != nil { // a Status is plain data
		panic(err)
	}
	return body
}

// onTheWire is the whole answer over HTTP/1.1, after which the connection ends.
func (s refusal) onTheWire() []byte {
	body, retry := s.body(), ""
	if s.Details != nil {
		retry = "Retry-After: " + strconv.Itoa(int(s.Details.RetryAfterSeconds)) + "\r\n"
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n",
		s.Code, http.StatusText(int(s.Code)), len(body), retry)
	return append([]byte(head), body...)
}

// write answers from a handler.
func (s refusal) write(w http.ResponseWriter) {
	body := s.body()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(int(s.Code))
	w.Write(body)
}
