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
	"edge/e2e/testbed/monitoring"
	"edge/e2e/testbed/network"
	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
)

// Testbed is one run of the testbed. The methods of the embedded types start the clusters, issuers,
// proxies, clients and monitoring programs that a test needs.
type Testbed struct {
	*run.Run
	cluster.Clusters
	issuer.Issuers
	network.Network
	clients.Clients
	monitoring.Monitoring

	unown func() // a function that releases the lock on the state folder
}

// Open starts a run of the testbed: it finds or builds the wanted programs and makes a state
// folder. It prints the progress of long work to log. The caller must call Close.
func Open(ctx context.Context, log io.Writer, wanted binaries.Extent) (*Testbed, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("testbed: must run as root, because a cluster's node needs it")
	}
	log = &lineWriter{w: log}
	if err := Clean(); err != nil {
		fmt.Fprintf(log, "testbed: cannot remove all that an earlier run left behind: %v\n", err)
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
		Run:        r,
		Clusters:   cluster.Clusters{Run: r},
		Issuers:    issuer.Issuers{Run: r},
		Network:    network.Network{Run: r},
		Clients:    clients.Clients{Run: r},
		Monitoring: monitoring.Monitoring{Run: r},
		unown:      unown,
	}
	tb.CA, err = pki.NewAuthority("edge testbed " + id)
	if err == nil {
		r.Address, err = run.ClaimAddress(filepath.Join(dir, addressFile))
	}
	if err != nil {
		tb.Close()
		return nil, err
	}
	tb.CA.Names = []string{r.Address}
	return tb, nil
}

// Close ends everything that the run has started, in reverse order, and removes the state folder.
// If $EDGE_TESTBED_LOGS is set, Close first copies the logs of all programs to that folder. A
// second call does nothing.
func (tb *Testbed) Close() error {
	if !tb.End() {
		return nil
	}
	err := errors.Join(tb.keepLogs(os.Getenv("EDGE_TESTBED_LOGS")), removeState(tb.Dir, tb.ID))
	tb.unown()
	return err
}

// keepLogs copies the logs of all programs to the folder `to`. If `to` is empty, it does nothing.
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

// CloseOnSignal makes this process close tb and exit with code 130 when it receives SIGINT or
// SIGTERM. After a call of stop, the signals have their normal effect again.
func (tb *Testbed) CloseOnSignal() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	quit := make(chan struct{})
	go func() {
		select {
		case s := <-c:
			fmt.Fprintf(tb.Log, "testbed: received signal %v, cleaning up\n", s)
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

// lineWriter lets several goroutines write to one writer: it lets only one of them write at a time.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
