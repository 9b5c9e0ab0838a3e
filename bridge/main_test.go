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

// runtimePatience is how long the tests' container runtime waits for a client's
// streams. It does so also when the client is gone.
const runtimePatience = 15 * time.Second

// TestMain checks that no session leaves a goroutine, and silences the logs of
// client-go and the runtime.
func TestMain(m *testing.M) {
	klog.InitFlags(nil)
	flag.Set("logtostderr", "false")
	flag.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	flag.Set("test.parallel", "8") // those that are parallel wait, most of their time
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leakPatience bounds the wait for the last goroutines' end: the API server's
// translator has some that wait 30 s for a client that left early.
const leakPatience = time.Minute

// leaks waits for the runtime's goroutines too.
func leaks() int {
	var err error
	for end := time.Now().Add(leakPatience); time.Now().Before(end); {
		// Peers of ours that wait for ever: spdystream where a stream was left with
		// data that nobody reads, a runtime whose connection ends before its SYN_REPLY
		// is out; all goroutines of such a connection stay. client-go's WebSocket reader leaves its streams open if its connection
		// is closed before it sets its first deadline; one that edge kept open would be
		// seen as that reader, too.
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
