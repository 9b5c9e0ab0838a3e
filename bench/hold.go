package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// holdEdge starts edge and its upstream server as for a measurement, so that another program can
// send load to them. It prints edge's address, files and process ID as shell variables and waits
// until ctx ends. workloadRuntime and podWatch describe which requests the upstream server answers.
func holdEdge(ctx context.Context, s settings, stdout io.Writer) error {
	l, err := openLab(ctx, s)
	if err != nil {
		return err
	}
	defer l.close()
	edge := peerNamed("edge")
	p, err := l.startProxy(ctx, edge)
	if err != nil {
		return err
	}
	tokenFile := filepath.Join(l.dir, "token")
	if err := os.WriteFile(tokenFile, []byte(l.token), 0o600); err != nil {
		return fmt.Errorf("bench: write the token: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "URL=https://%s\nTOKEN_FILE=%s\nCA_FILE=%s\nEDGE_PID=%d\n",
		p.target.address, tokenFile, l.pki.caFile, p.cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("bench: print the variables: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-p.done:
		return p.failure(errEarlyEnd)
	}
}
