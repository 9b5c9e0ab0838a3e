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

// unprocessedRetry is when a request that edge could not send again may be, in seconds: the next connection is there.
const unprocessedRetry = 1

// GatewayError is the client's view of a failure on the way upstream: its own body's, or
// the API server's. It says whether what was asked for may have been done. The
// details, which may name addresses, stay in the log.
func GatewayError(method string, err error) error {
	var broken *roundtrip.BodyError
	switch {
	case errors.As(err, &broken):
		return status.BadRequest(status.ReasonBody, "the request's body ended before its end, or broke the rules of HTTP")
	case errors.Is(err, roundtrip.ErrNothingDone):
		e := status.New(status.ReasonUpstream, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
			"edge: the API server did not take the request, and nothing was done: try again")
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
		message += ": what was asked for may have been done"
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
