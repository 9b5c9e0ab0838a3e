//go:build !unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// catchSignals keeps Ctrl-C and the closing of the console from ending edge. edge ends when the
// receiver of the returned channel decides so.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return signals
}

// endedBy returns the error for a signal that arrived before the command started.
func endedBy(os.Signal) error { return &commandError{code: 1} }

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
