package negotiate

import (
	"errors"
	"fmt"
)

var (
	// ErrNotSwitched: the API server's 101 is not one to what was asked.
	ErrNotSwitched = errors.New("bridge: the 101 names another protocol")
	// ErrBegun is the same where the command may run already: over WebSocket it
	// starts with the 101, over SPDY only with the streams that the client opens.
	ErrBegun = fmt.Errorf("%w, and what it answers may have begun", ErrNotSwitched)
)
