package session

import (
	"encoding/json"
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"

	"edge/bridge/internal/status"
	"edge/streams"
)

// statusFrame returns a frame with a Status. In front of the Status it leaves the headroom: free
// bytes into which a sink writes its frame header.
func statusFrame(status []byte) streams.Frame {
	buf := make([]byte, streams.Headroom+len(status))
	copy(buf[streams.Headroom:], status)
	return streams.Frame{Kind: streams.Status, Stream: streams.Stream{Role: streams.Error}, Buf: buf, Off: streams.Headroom}
}

// isOutcome reports whether status is a complete Status. It is not complete if upstream broke off
// in the middle, or sent plain text, which a v4 client cannot parse.
func isOutcome(status []byte) bool {
	var s metav1.Status
	if json.Unmarshal(status, &s) != nil {
		return false
	}
	return s.Status == metav1.StatusSuccess || s.Status == metav1.StatusFailure
}

// unknownOutcome returns the Status for a client whose session ended upstream without one.
// client-go would take a missing Status for success.
func unknownOutcome(cause error) metav1.Status {
	why := cause.Error()
	if broken := (*brokenError)(nil); errors.As(cause, &broken) {
		why = "the connection to the API server broke"
	}
	return status.Failure(http.StatusInternalServerError, metav1.StatusReasonInternalError,
		"edge: the session ended before the command's outcome was known: "+why)
}

// plainStatus returns the text that subprotocols before v4 use for a Status: nothing for success,
// and otherwise the message.
func plainStatus(status []byte) []byte {
	var s metav1.Status
	if err := json.Unmarshal(status, &s); err != nil {
		return status
	}
	if s.Status == metav1.StatusSuccess {
		return nil
	}
	if s.Message == "" {
		return []byte("edge: the command failed")
	}
	return []byte(s.Message)
}

// apiWords changes a container runtime's Status as an API server does when it translates WebSocket
// to SPDY: for a non-zero exit code and for an internal error it sets the API server's message. It
// does not change a Status with another code, which the API server would make a 500.
func apiWords(said []byte) []byte {
	var s metav1.Status
	if json.Unmarshal(said, &s) != nil || s.Status != metav1.StatusFailure {
		return said
	}
	switch code, ok := exitCode(&s); {
	case ok:
		s.Message = "command terminated with non-zero exit code: command terminated with exit code " + code
	case s.Code == 0 || s.Code == http.StatusInternalServerError:
		s = apierrors.NewInternalError(errors.New(s.Message)).ErrStatus
	}
	return status.Encode(s)
}

func exitCode(s *metav1.Status) (code string, ok bool) {
	if s.Reason != remotecommand.NonZeroExitCodeReason || s.Details == nil {
		return "", false
	}
	for _, cause := range s.Details.Causes {
		if cause.Type == remotecommand.ExitCodeCauseType {
			return cause.Message, true
		}
	}
	return "", false
}
