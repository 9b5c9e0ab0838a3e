package session

import (
	"errors"
	"fmt"
)

// panicError is a bug of ours that ends one session and not the process, as
// net/http has it for requests. A loop turns it into its error, so that the
// client is told; session.recoverPanic takes one that happens around the loops.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("internal error: %v", e.value) }

func (e *panicError) Cause() Cause { return CauseInternal }

func isPanic(err error) bool {
	bug := (*panicError)(nil)
	return errors.As(err, &bug)
}
