package streams

import (
	"errors"
	"fmt"
)

// ErrReplies means that a peer asks for answers faster than it reads them.
var ErrReplies = errors.New("streams: too many answers wait for the peer to read them")

// ErrWouldBlock is a Trier's answer where Read would wait.
var ErrWouldBlock = errors.New("streams: nothing there yet")

// ErrIdle ends a source's Next that would wait for a frame to begin, where a Reader's
// beforeWait says so; see Between. Nothing is lost: the next Next goes on.
var ErrIdle = errors.New("streams: nothing to read for now")

// Close codes of RFC 6455 section 7.4.1 that codecs give as a reason.
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

// ProtocolError is a peer's breach of its dialect's rules or bounds. Code is
// the WebSocket close code that says it; on SPDY legs it is only a class.
// Reason is ours, never the peer's text.
type ProtocolError struct {
	Code   int
	Reason string
}

func (e *ProtocolError) Error() string { return "streams: " + e.Reason }

// Violation makes a *ProtocolError with a formatted reason.
func Violation(code int, format string, args ...any) error {
	return &ProtocolError{Code: code, Reason: fmt.Sprintf(format, args...)}
}
