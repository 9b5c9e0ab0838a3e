package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"edge/e2e/testbed/binaries"
)

// Testbed is one run: it owns a state folder and all that was started through it.
type Testbed struct {
	Bin *binaries.Set
	CA  *Authority // signs the certificates of edge, the issuer and the load balancer
	Dir string     // state folder

	log   io.Writer
	id    string // 8 hexadecimal digits, in the name of everything outside the state folder
	unown func() // gives the state folder's lock up

	mu     sync.Mutex
	undo   []func() // run in reverse order by Close
	closed bool

	clusters int // started so far

	build sync.Mutex      // held while a program of this source tree is built
	built map[string]bool // by name
}

// Open finds or builds the wanted programs, reporting long work on log, and makes a state folder. The caller must Close it.
func Open(ctx context.Context, log io.Writer, wanted binaries.Extent) (*Testbed, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("testbed: a node needs root")
	}
	log = &lineWriter{w: log}
	if err := Clean(); err != nil {
		fmt.Fprintf(log, "testbed: cleaning up after an earlier run: %v\n", err)
	}
	bin, err := binaries.Ensure(ctx, log, wanted)
	if err != nil {
		return nil, err
	}
	dir, id, unown, err := makeState()
	if err != nil {
		return nil, err
	}
	tb := &Testbed{Bin: bin, Dir: dir, log: log, id: id, unown: unown, built: map[string]bool{}}
	if tb.CA, err = newAuthority("edge testbed " + id); err != nil {
		tb.Close()
		return nil, err
	}
	return tb, nil
}

// Close ends everything in the reverse order of its start and removes the state folder; the programs' logs are copied to
// $EDGE_TESTBED_LOGS before, if that is set. It may be called twice.
func (tb *Testbed) Close() error {
	tb.mu.Lock()
	if tb.closed {
		tb.mu.Unlock()
		return nil
	}
	tb.closed = true
	undo := tb.undo
	tb.undo = nil
	tb.mu.Unlock()
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
	err := errors.Join(tb.keepLogs(os.Getenv("EDGE_TESTBED_LOGS")), removeState(tb.Dir, tb.id))
	tb.unown()
	return err
}

// keepLogs copies every program's output to a folder, if there is one to copy to.
func (tb *Testbed) keepLogs(to string) error {
	if to == "" {
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(tb.Dir, "*", "*.log"))
	for _, path := range logs {
		name, rerr := filepath.Rel(tb.Dir, path)
		b, ferr := os.ReadFile(path)
		target := filepath.Join(to, name)
		err = errors.Join(err, rerr, ferr, os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, b, 0o644))
	}
	return err
}

// CloseOnSignal closes tb and exits when the process is interrupted or told to end. stop ends the watch.
func (tb *Testbed) CloseOnSignal() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	quit := make(chan struct{})
	go func() {
		select {
		case s := <-c:
			fmt.Fprintf(tb.log, "testbed: %v, cleaning up\n", s)
			tb.Close()
			os.Exit(130)
		case <-quit:
		}
	}()
	return func() {
		signal.Stop(c)
		close(quit)
	}
}

// onClose arranges for f to run at Close. It runs at once if tb is closed already: a start that lost the race against
// an interrupt leaves nothing behind.
func (tb *Testbed) onClose(f func()) {
	tb.mu.Lock()
	if tb.closed {
		tb.mu.Unlock()
		f()
		return
	}
	tb.undo = append(tb.undo, f)
	tb.mu.Unlock()
}

// lineWriter lets goroutines share a writer.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
