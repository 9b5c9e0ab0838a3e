package negotiate

import (
	"errors"
	"fmt"
)

var (
	// ErrNotSwitched means that the API server's 101 does not match edge's upgrade request.
	ErrNotSwitched = errors.New("bridge: the API server's 101 names another protocol than edge requested")
	// ErrBegun is an ErrNotSwitched after which the command may already run. Over WebSocket the
	// command starts with the 101. Over SPDY it starts only when the client opens the streams.
	ErrBegun = fmt.Errorf("%w, and the command may have started", ErrNotSwitched)
)
