package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain checks that no session leaves a goroutine.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leakPatience is how long goroutines may take to end after the tests, on a machine that is busy.
const leakPatience = time.Minute

// leaks looks for goroutines that stay. What it ignores are peers of ours that wait for ever, or for 30 s, where a client
// left before its streams were accepted: spdystream, the API server's translator and the container runtime. The runtime's
// 30 s are not made less to see it end: where hundreds of sessions open at once on a busy machine they take more than 5 s.
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
