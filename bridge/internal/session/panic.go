package session

import (
	"errors"
	"runtime/debug"
)

// recoverPanic ends the session after a panic. Each goroutine of a session defers it.
func (s *session) recoverPanic() {
	if p := recover(); p != nil {
		s.abort(&panicError{p, debug.Stack()})
	}
}

func isPanic(err error) bool {
	bug := (*panicError)(nil)
	return errors.As(err, &bug)
}
