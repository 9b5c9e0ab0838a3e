package main

import (
	"errors"
	"io/fs"
	"os/exec"
)

// Exit codes for a command that did not start or that a signal ended, as a shell reports them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalled     = 128 // plus the number of the signal that ended the command
)

func notStarted(err error) error {
	code := exitNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	return &commandError{code: code, err: err}
}
