//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// ending are the signals that would end edge. When edge receives one of these signals, it sends the
// signal to the command. The terminal sends some of them to every process in the foreground, see
// fromTerminal.
var ending = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
}

// catchSignals keeps signals from ending edge, until edge exits by itself. Otherwise a signal
// before or after the command runs would leave files behind, or leave the command running. Signals
// that edge was started to ignore, as under nohup, are not caught; the command inherits that.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 2*len(ending))
	for _, s := range ending {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	// A log line to a closed standard error must not end edge.
	if !signal.Ignored(syscall.SIGPIPE) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	return signals
}

// endedBy returns the error for a signal that arrived before the command started.
func endedBy(s os.Signal) error {
	number, _ := s.(syscall.Signal)
	return &commandError{code: exitSignalled + int(number), signal: number}
}

// fromTerminal reports whether the command has already received the signal from the terminal.
// Ctrl-C and Ctrl-\ go to the terminal's whole foreground process group, and the command is in
// edge's group.
func fromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	terminal, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer terminal.Close()
	foreground, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == syscall.Getpgrp()
}
