package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"

	"edge/bridge/internal/status"
	"edge/streams"
)

// statusFrame puts a Status behind the room that a sink needs.
func statusFrame(status []byte) streams.Frame {
	buf := make([]byte, streams.Headroom+len(status))
	copy(buf[streams.Headroom:], status)
	return streams.Frame{Kind: streams.Status, Stream: streams.Stream{Role: streams.Error}, Buf: buf, Off: streams.Headroom}
}

// isOutcome tells a Status from what upstream left of one when it died, and from
// text, which no client of v4 could read.
func isOutcome(status []byte) bool {
	var s metav1.Status
	if json.Unmarshal(status, &s) != nil {
		return false
	}
	return s.Status == metav1.StatusSuccess || s.Status == metav1.StatusFailure
}

// unknownOutcome is what the client reads when upstream ended without a Status:
// client-go would take the missing one for success.
func unknownOutcome(cause error) metav1.Status {
	why := cause.Error()
	if broken := (*brokenError)(nil); errors.As(cause, &broken) {
		why = "the connection to the API server broke"
	}
	return status.Failure(http.StatusInternalServerError, metav1.StatusReasonInternalError,
		fmt.Sprintf("edge: the session ended before the command's outcome was known: %s", why))
}

// plainStatus turns a Status into the text of the dialects before v4: nothing
// for success, the message for anything else.
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

// apiWords gives a container runtime's Status the words that an API server's
// translator would have given it. Code, reason and exit code stay, also where the
// translator would make a 500 of them.
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
