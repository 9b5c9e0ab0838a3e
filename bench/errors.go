package main

import (
	"errors"
	"fmt"
)

var (
	errCommand   = errors.New("bench: invalid workload command")
	errSurplus   = errors.New("bench: received more bytes than expected")
	errEarlyEnd  = errors.New("bench: the session ended before all bytes were transferred")
	errNoStatus  = errors.New("bench: no status received")
	errNoChannel = errors.New("bench: WebSocket message without a channel byte")
	errWatch     = errors.New("bench: an idle watch ended or received a second event")
	errExited    = errors.New("bench: process has exited")
)

// statusError is the error of a session that ended with a Status other than Success, or with text
// on its error stream.
type statusError struct {
	status, message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("bench: session ended with status %q: %s", e.status, e.message)
}
