package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/roundtrip"
	"edge/bridge/internal/status"
)

// unprocessedRetry is the Retry-After, in seconds, for a request that the API server did not
// process and edge could not send again. After that time edge has a new connection.
const unprocessedRetry = 1

// MayBeDone is the end of the message for a client whose action may have been done.
const MayBeDone = ": the requested action may have been done"

// GatewayError maps err to the client's error: the client's request body failed, or the API server
// did not answer. The message states whether the request may have been done. Details such as
// addresses appear only in the log.
func GatewayError(method string, err error) error {
	var broken *roundtrip.BodyError
	switch {
	case errors.As(err, &broken):
		return status.BadRequest(status.ReasonBody, "the request's body ended too early, or it violates the rules of HTTP")
	case errors.Is(err, roundtrip.ErrNothingDone):
		e := status.New(status.ReasonUpstream, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
			"edge: the API server did not process the request, and nothing was done: try again")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: unprocessedRetry}
		return e
	}
	code, reason, message := http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, "edge: the API server could not be reached"
	lost := errors.Is(err, roundtrip.ErrLost) || errors.Is(err, roundtrip.ErrSilent)
	switch {
	case errors.Is(err, roundtrip.ErrSilent), isTimeout(err):
		code, reason, message = http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "edge: the API server did not answer in time"
		lost = lost || !errors.Is(err, roundtrip.ErrUnreached)
	case lost:
		message = "edge: the connection to the API server ended before its answer"
	}
	if lost && !roundtrip.OnlyReads(method) {
		message += MayBeDone
	}
	return status.New(status.ReasonUpstream, code, reason, message)
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
