// These tests use TLS without the post-quantum key exchange: with -race, a handshake then needs
// 10 ms less CPU.
//
//go:debug tlsmlkem=0
//go:debug tlssecpmlkem=0

package bridge_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/klog/v2"
)

// runtimePatience is how long the tests' container runtime waits for a client's streams, even if
// the client has disconnected.
const runtimePatience = 15 * time.Second

// TestMain silences the logs of client-go and the container runtime, and checks after all tests
// that no session has left a goroutine.
func TestMain(m *testing.M) {
	klog.InitFlags(nil)
	flag.Set("logtostderr", "false")
	flag.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	flag.Set("test.parallel", "8") // parallel tests spend most of their time waiting
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leakPatience is the timeout for the last goroutines of the tests to end. Some goroutines of the
// API server's translator wait 30 s for a client that disconnected early.
const leakPatience = time.Minute

// leaks waits until no goroutine of a session is left, including those of the container runtime.
func leaks() int {
	var err error
	for end := time.Now().Add(leakPatience); time.Now().Before(end); {
		// goleak must ignore goroutines of edge's peers in this process that wait forever. All
		// goroutines of an spdystream connection do so if a stream is left with unread data. In a
		// container runtime they also do so if the connection ends before a SYN_REPLY is sent.
		// client-go's WebSocket reader leaves its streams open if its connection is closed before
		// the reader sets its first deadline. goleak ignores the goroutines that read these
		// streams. It does not ignore the reader: that would also hide a WebSocket that edge
		// leaves open.
		if err = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Stream).waitWriteReply"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).Serve"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).Serve.func1"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).Ping"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*idleAwareFramer).monitor"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).frameHandler"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).shutdown"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).shutdown.func1"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*spdyStreamExecutor).StreamWithContext.func1"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*wsStreamExecutor).StreamWithContext.func1"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*stream).Read"),
		); err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
