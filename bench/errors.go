package main

import (
	"errors"
	"fmt"
)

var (
	errCommand   = errors.New("bench: not a command of the workload")
	errSurplus   = errors.New("bench: more bytes than were asked for")
	errEarlyEnd  = errors.New("bench: the session ended before its work was done")
	errNoStatus  = errors.New("bench: no status")
	errNoChannel = errors.New("bench: message without a channel")
	errWatch     = errors.New("bench: an idle watch ended or said more")
	errExited    = errors.New("bench: process has exited")
)

// statusError is a session that upstream or the proxy ended with something else than success.
type statusError struct {
	status, message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("bench: session ended with status %q: %s", e.status, e.message)
}
