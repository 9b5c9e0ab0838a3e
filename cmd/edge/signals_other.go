//go:build !unix

package main

import (
	"os"
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
