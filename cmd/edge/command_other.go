//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// runCommand runs a command and returns how it ended. The console sends Ctrl-C to edge and to the
// command; the command decides whether to end.
func runCommand(argv, env []string, signals <-chan os.Signal) error {
	select {
	case s := <-signals:
		return endedBy(s)
	default:
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return notStarted(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return &commandError{code: code}
	}
	return nil
}

func (e *commandError) exit() { os.Exit(e.code) }
