package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/binaries"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // so that a second Ctrl-C kills the demo at once
	}()
	os.Exit(run(ctx, os.Getenv("ONCE") != ""))
}

func run(ctx context.Context, once bool) (code int) {
	start := time.Now()
	tb, err := testbed.Open(ctx, os.Stderr, binaries.Old)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := tb.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	d := &demo{tb: tb}
	for _, s := range d.steps() {
		began := time.Now()
		said, err := s.run(ctx)
		took := time.Since(began).Seconds()
		if err != nil {
			fmt.Printf("FAIL %6.1f s  %s: %v\n", took, s.what, err)
			if ctx.Err() != nil {
				return 130
			}
			return 1
		}
		fmt.Printf("ok   %6.1f s  %s%s\n", took, s.what, said)
	}
	fmt.Printf("\nAll steps succeeded in %.0f s.\n", time.Since(start).Seconds())
	if once {
		return 0
	}
	fmt.Printf(`
Everything runs until Ctrl-C. Try it as alice, through the load balancer:

  export KUBECONFIG=%s
  kubectl get pods
  kubectl exec -it shell -- sh

kubectl before 1.31 uses SPDY, which the load balancer does not support. This kubectl uses WebSocket:

  alias kubectl=%s
`, d.kubeconfig, tb.Bin.Kubectl[kubectlVersion])
	<-ctx.Done()
	fmt.Println("\nstopping everything that the demo started")
	return 0
}
