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
)

// runCommand runs a command and returns how it ended. The command runs in edge's own process group,
// so that it has the terminal, job control and the standard streams.
func runCommand(argv, env []string, signals <-chan os.Signal) error {
	program, err := exec.LookPath(argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) { // a shell also runs a program that it finds in "."
		return notStarted(err)
	}
	runtime.LockOSThread() // on Linux the death of this thread counts as the parent's death
	defer runtime.UnlockOSThread()
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	stops := make(chan os.Signal, 1) // never read: it only keeps Ctrl-Z from stopping edge before the command; the function wait stops edge after the command
	signal.Notify(stops, syscall.SIGTSTP)
	defer signal.Stop(stops)
	select {
	case s := <-signals:
		return endedBy(s)
	default:
	}
	process, err := os.StartProcess(program, argv, &os.ProcAttr{
		Env:   (&exec.Cmd{Env: env}).Environ(), // if a name occurs twice, the last value counts
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

// wait waits for the command and returns how the command ended. When the command stops (Ctrl-Z),
// edge stops itself too, so that the shell sees a stopped job. The SIGCONT of the shell reaches
// both edge and the command.
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

// deathTime limits how long exit waits until the signal that it sends to edge has ended edge.
const deathTime = time.Second

// exit ends edge in the same way as the command ended. A shell script stops at Ctrl-C only if its
// child died of the signal. A signal for which Go prints a dump, or that does not end a Go program,
// becomes the exit code that a shell uses for it.
func (e *commandError) exit() {
	switch s, _ := e.signal.(syscall.Signal); s {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL:
		signal.Reset(s)
		syscall.Kill(os.Getpid(), s)
		time.Sleep(deathTime)
	}
	os.Exit(e.code)
}
