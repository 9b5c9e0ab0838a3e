package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

// TestForwardDialects checks port-forward in every dialect (protocol and subprotocol): a client
// must observe the same through edge as directly at the API server.
func TestForwardDialects(t *testing.T) {
	forEachPair(t, rawclient.Forwards, func(t *testing.T, p pair) {
		if p.upstream == overWebSocket && p.site.cluster.Kind == cluster.Old {
			// skip: the old cluster does not support port-forward that is tunnelled in WebSocket,
			// and edge cannot use the cluster's other WebSocket dialect instead
			return
		}
		for _, sc := range forwardScenarios {
			if sc.skip != nil && sc.skip(p.d) != "" {
				continue
			}
			t.Run(sc.name, func(t *testing.T) { p.compare(t, "port-forward", sc) })
		}
	})
}

// Ports of the pod "shell". The program cmd/inpod listens on echoPort and resetPort.
const (
	echoPort  = 9000
	resetPort = 9001
	freePort  = 9999 // a port on which no process listens
)

var forwardScenarios = []scenario{
	{name: "echo of 1 MiB", run: forward(echoMegabyte, echoPort), check: wantEcho(1)},
	{name: "half-close, then output", skip: noHalfClose, run: forward(endThenRead, echoPort), check: func(_ rawclient.Dialect, o rawclient.Observation) error {
		if len(o.Conns) != 1 || o.Conns[0].Bytes != 64<<10 {
			return errors.New("the echo is not complete")
		}
		return nil
	}},
	{name: "refused port", run: forward(expectError, freePort), check: func(_ rawclient.Dialect, o rawclient.Observation) error {
		if len(o.Conns) != 1 || !strings.Contains(o.Conns[0].Error, "connection refused") {
			return errors.New("the connection was not refused")
		}
		return nil
	}},
	{name: "20 connections", run: forward(echoMegabyte, repeat(echoPort, 20)...), check: wantEcho(20)},
	{name: "one of three refused", run: forward(echoUnlessFree, echoPort, freePort, echoPort), check: func(_ rawclient.Dialect, o rawclient.Observation) error {
		if len(o.Conns) != 3 || o.Conns[0].Bytes != 1<<20 || o.Conns[1].Error == "" || o.Conns[2].Bytes != 1<<20 {
			return errors.New("the result is not two echoes and one refused connection")
		}
		return nil
	}},
	{name: "connection reset by the pod", run: forward(awaitReset, resetPort)},
	{name: "connection reset by the client", skip: noHalfClose, run: forward(resetOne, echoPort, echoPort)},
	{name: "forbidden", check: wantRefusal, run: func(ctx context.Context, r attempt) (rawclient.Observation, error) {
		return r.d.Forward(ctx, r.other, rawclient.Forward{Pod: "shell", Ports: []int{echoPort}, Do: echoMegabyte})
	}},
	{name: "unknown to its node", run: func(ctx context.Context, r attempt) (rawclient.Observation, error) {
		return r.d.Forward(ctx, r.to, rawclient.Forward{Pod: cluster.LostPod, Ports: []int{echoPort}, Do: echoMegabyte})
	}, check: wantRefusal},
}

func forward(do func(int, *rawclient.Connection) error, ports ...int) func(context.Context, attempt) (rawclient.Observation, error) {
	return func(ctx context.Context, r attempt) (rawclient.Observation, error) {
		return r.d.Forward(ctx, r.to, rawclient.Forward{Pod: "shell", Ports: ports, Do: do})
	}
}

func repeat(port, n int) []int {
	ports := make([]int, n)
	for i := range ports {
		ports[i] = port
	}
	return ports
}

// echoMegabyte sends 1 MiB on a forwarded connection, waits until the pod has sent back all of it,
// and half-closes the connection if the dialect can.
func echoMegabyte(_ int, c *rawclient.Connection) error {
	if err := copyPattern(c, 1<<20); err != nil {
		return err
	}
	if err := c.Await(1 << 20); err != nil {
		return err
	}
	return endBothWays(c)
}

func endBothWays(c *rawclient.Connection) error {
	if err := c.End(); errors.Is(err, rawclient.ErrCannotSay) {
		return nil
	} else if err != nil {
		return err
	}
	return c.AwaitEnd()
}

// endThenRead sends data and half-closes the connection before the pod's echo can have arrived. The
// container runtime does not forward the half-close to the pod, but forwards the pod's output for
// one more second.
func endThenRead(_ int, c *rawclient.Connection) error {
	if err := copyPattern(c, 64<<10); err != nil {
		return err
	}
	return endBothWays(c)
}

func expectError(_ int, c *rawclient.Connection) error { return c.AwaitError() }

func echoUnlessFree(i int, c *rawclient.Connection) error {
	if i == 1 {
		return expectError(i, c)
	}
	return echoMegabyte(i, c)
}

// awaitReset makes the process in the pod reset its connection. Then it waits for the end of the
// forwarded connection, if the dialect can signal that.
func awaitReset(_ int, c *rawclient.Connection) error {
	if _, err := c.Write([]byte("reset me")); err != nil {
		return err
	}
	if err := c.AwaitEnd(); err != nil && !errors.Is(err, rawclient.ErrCannotSay) {
		return err
	}
	return c.AwaitError()
}

// resetOne resets the first forwarded connection while data is in flight. The second connection
// must continue to work.
func resetOne(i int, c *rawclient.Connection) error {
	if i == 1 {
		return echoMegabyte(i, c)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	if err := c.Await(5); err != nil {
		return err
	}
	return c.Reset()
}

func wantEcho(n int) func(rawclient.Dialect, rawclient.Observation) error {
	return func(_ rawclient.Dialect, o rawclient.Observation) error {
		h := sha256.New()
		copyPattern(h, 1<<20)
		sum := hex.EncodeToString(h.Sum(nil))
		if len(o.Conns) != n {
			return fmt.Errorf("%d connections, want %d", len(o.Conns), n)
		}
		for i, c := range o.Conns {
			if c.SHA256 != sum {
				return fmt.Errorf("connection %d: the echo differs from the sent bytes", i)
			}
		}
		return nil
	}
}
