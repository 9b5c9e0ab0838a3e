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
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/network"
	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
)

// Testbed is one run, and what may be started in it.
type Testbed struct {
	*run.Run
	cluster.Clusters
	issuer.Issuers
	network.Network
	clients.Clients

	unown func() // gives the state folder's lock up
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
	r := &run.Run{Bin: bin, Dir: dir, ID: id, Log: log}
	tb := &Testbed{
		Run:      r,
		Clusters: cluster.Clusters{Run: r},
		Issuers:  issuer.Issuers{Run: r},
		Network:  network.Network{Run: r},
		Clients:  clients.Clients{Run: r},
		unown:    unown,
	}
	if tb.CA, err = pki.NewAuthority("edge testbed " + id); err != nil {
		tb.Close()
		return nil, err
	}
	return tb, nil
}

// Close ends everything in the reverse order of its start and removes the state folder; the programs' logs are copied to
// $EDGE_TESTBED_LOGS before, if that is set. It may be called twice.
func (tb *Testbed) Close() error {
	if !tb.End() {
		return nil
	}
	err := errors.Join(tb.keepLogs(os.Getenv("EDGE_TESTBED_LOGS")), removeState(tb.Dir, tb.ID))
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
			fmt.Fprintf(tb.Log, "testbed: %v, cleaning up\n", s)
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
