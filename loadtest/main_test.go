// These tests use TLS without the post-quantum key exchange: with -race, a handshake then needs
// 10 ms less CPU.
//
//go:debug tlsmlkem=0
//go:debug tlssecpmlkem=0

package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs the tests and checks that no goroutine of a test is left after them.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leakPatience is how long goroutines may take to end after the tests, on a busy machine.
const leakPatience = time.Minute

// leaks waits until no goroutine of a test is left. It ignores some goroutines of the servers in
// these tests (spdystream, the API server's translator and the container runtime): if a client
// disconnected before its streams were accepted, they wait for 30 s or for ever. The container
// runtime's timeout is not less than 30 s, because hundreds of sessions that open at once on a busy
// machine need more than 5 s.
func leaks() int {
	var err error
	for end := time.Now().Add(leakPatience); time.Now().Before(end); {
		if err = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Stream).waitWriteReply"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).Serve"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).frameHandler"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).shutdown"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).shutdown.func1"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*spdyStreamExecutor).StreamWithContext.func1"),
			goleak.IgnoreAnyFunction("k8s.io/cri-streaming/pkg/streaming/remotecommand.(*v4ProtocolHandler).waitForStreams"),
			goleak.IgnoreAnyFunction("k8s.io/cri-streaming/pkg/streaming/portforward.(*httpStreamHandler).monitorStreamPair"),
		); err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
