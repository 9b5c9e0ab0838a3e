package main

import (
	"context"
	"sync"
	"time"

	"edge/bridge"
	"edge/serving"
)

// drainPeriod limits the shutdown. At its beginning edge tells all streams to end; at its end edge
// closes the requests and streams that are still open. Kubernetes kills a pod 30 s after it has
// sent SIGTERM to the pod.
const drainPeriod = 20 * time.Second

// delay waits for --shutdown-delay-duration, in which /ready already fails and edge still serves, so
// that load balancers learn of the end before it comes. It returns early with the error of a server
// that failed.
func delay(d time.Duration, failed <-chan error) error {
	if d <= 0 {
		return nil
	}
	select {
	case err := <-failed:
		return err
	case <-time.After(d):
		return nil
	}
}

// drain waits until all streams and requests have ended, for at most drainPeriod. Then it ends them.
func drain(ctx context.Context, handler *bridge.Handler, public *serving.Server) {
	ctx, cancel := context.WithTimeout(ctx, drainPeriod)
	defer cancel()
	var ending sync.WaitGroup
	ending.Go(func() { handler.Drain(ctx) })
	ending.Go(func() {
		if public.Shutdown(ctx) != nil { // ctx ended before all requests did, for example because of open watches
			public.Close()
		}
	})
	ending.Wait()
}
