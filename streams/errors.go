package streams

import (
	"errors"
	"fmt"
)

// ErrReplies means that the peer causes answers, such as pongs, faster than it reads them.
var ErrReplies = errors.New("streams: too many answers are pending, because the peer does not read them")

// ErrWouldBlock is the error of TryRead when Read would have to wait.
var ErrWouldBlock = errors.New("streams: no bytes are available yet")

// ErrIdle is the error of a source's Next that would have to wait for the next frame to begin. It
// comes from the function beforeWait of the source's Reader, which may return it if the Reader's
// method Between returns true. No bytes are lost: the caller calls Next again later.
var ErrIdle = errors.New("streams: no frame has begun yet")

// WebSocket close codes of RFC 6455 section 7.4.1, for ProtocolErrors and for Close frames.
const (
	CloseNormal      = 1000
	CloseGoingAway   = 1001
	CloseProtocol    = 1002
	CloseUnsupported = 1003
	CloseInvalid     = 1007
	ClosePolicy      = 1008
	CloseTooBig      = 1009
	CloseInternal    = 1011
)

// ProtocolError means that the peer violated the rules or limits of its dialect. Code is the
// matching WebSocket close code; on a SPDY connection it only classifies the error. Reason is
// edge's text, never the peer's.
type ProtocolError struct {
	Code   int
	Reason string
}

func (e *ProtocolError) Error() string { return "streams: " + e.Reason }

// Violation returns a *ProtocolError with a formatted reason.
func Violation(code int, format string, args ...any) error {
	return &ProtocolError{Code: code, Reason: fmt.Sprintf(format, args...)}
}
