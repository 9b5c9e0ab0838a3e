//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ending are the signals that would end edge, and that the command gets when edge
// is sent them. The terminal sends some of them to every process in the
// foreground, see fromTerminal.
var ending = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
}

// catchSignals has signals end edge only where it says so, up to its exit: else one
// that comes before the command runs, or after, would leave files behind, or the
// command without an end. What is ignored, as under nohup, the command inherits.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 2*len(ending))
	for _, s := range ending {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	if !signal.Ignored(syscall.SIGPIPE) { // a log line that nobody reads any more is no reason to end
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	return signals
}

// endedBy is the end by a signal of a command that never began.
func endedBy(s os.Signal) error {
	number, _ := s.(syscall.Signal)
	return &commandError{code: exitSignalled + int(number), signal: number}
}

// runCommand runs a command in edge's own process group, so that terminal, job
// control and standard streams are the command's, and returns how it ended.
func runCommand(argv, env []string, signals <-chan os.Signal) error {
	program, err := exec.LookPath(argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) { // a shell runs what is found in "." as well
		return notStarted(err)
	}
	runtime.LockOSThread() // Linux takes the parent's death for that of the thread
	defer runtime.UnlockOSThread()
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	stops := make(chan os.Signal, 1) // nobody reads: edge stops when the command does, see wait
	signal.Notify(stops, syscall.SIGTSTP)
	defer signal.Stop(stops)
	select {
	case s := <-signals:
		return endedBy(s)
	default:
	}
	process, err := os.StartProcess(program, argv, &os.ProcAttr{
		Env:   (&exec.Cmd{Env: env}).Environ(), // the last of equal names counts
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   bound(),
	})
	if err != nil {
		return notStarted(err)
	}
	defer process.Release()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				if !fromTerminal(s) {
					process.Signal(s)
				}
			case s := <-continued:
				process.Signal(s)
			case <-done:
				return
			}
		}
	}()
	return wait(process.Pid)
}

// wait returns how the command ended. When it stops, edge stops with it, so that
// the shell sees a stopped job; the shell's SIGCONT reaches both.
func wait(pid int) error {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case status.Stopped():
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		case status.Exited() && status.ExitStatus() == 0:
			return nil
		case status.Exited():
			return &commandError{code: status.ExitStatus()}
		case status.Signaled():
			return &commandError{code: exitSignalled + int(status.Signal()), signal: status.Signal()}
		}
	}
}

// fromTerminal tells whether the command, which is in edge's process group, has
// got a signal already: Ctrl-C and Ctrl-\ go to all of the terminal's foreground.
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

// deathTime bounds the wait for a signal to oneself.
const deathTime = time.Second

// exit ends edge as the command ended: a shell script stops at Ctrl-C only if
// what it runs is seen to have died of it. What Go would answer with a dump, or not
// at all, becomes the shell's exit code for it.
func (e *commandError) exit() {
	switch s, _ := e.signal.(syscall.Signal); s {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL:
		signal.Reset(s)
		syscall.Kill(os.Getpid(), s)
		time.Sleep(deathTime)
	}
	os.Exit(e.code)
}
