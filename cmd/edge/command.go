package main

import (
	"errors"
	"io/fs"
	"os/exec"
)

// Exit codes of a shell, for what becomes of a command.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalled     = 128 // and the signal's number
)

func notStarted(err error) error {
	code := exitNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	return &commandError{code: code, err: err}
}
