package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
)

// Exit codes of a shell, for what becomes of a command.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalled     = 128 // and the signal's number
)

// commandError is the end of the command that edge connect ran, other than
// success. Only what never ran has a message: anything else the command has said.
type commandError struct {
	code   int
	signal os.Signal // that ended it; nil: none
	err    error     // why it did not start
}

func (e *commandError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return fmt.Sprintf("the command ended with exit code %d", e.code)
}

func (e *commandError) Unwrap() error { return e.err }

func notStarted(err error) error {
	code := exitNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	return &commandError{code: code, err: err}
}
