package session

import (
	"errors"
	"runtime/debug"
)

// recoverPanic is deferred by each goroutine of a session.
func (s *session) recoverPanic() {
	if p := recover(); p != nil {
		s.abort(&panicError{p, debug.Stack()})
	}
}

func isPanic(err error) bool {
	bug := (*panicError)(nil)
	return errors.As(err, &bug)
}
