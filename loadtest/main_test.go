package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// runtimePatience is how long the tests' container runtime waits for a client's streams. It does so also when the
// client is gone.
const runtimePatience = 5 * time.Second

// TestMain checks that no session leaves a goroutine.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks waits for the runtime's goroutines too. What it ignores are peers of ours that wait for ever, or for 30 s, where
// a client left before its streams were accepted: spdystream, and the API server's translator.
func leaks() int {
	var err error
	for end := time.Now().Add(2 * runtimePatience); time.Now().Before(end); {
		if err = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Stream).waitWriteReply"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).Serve"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).frameHandler"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).shutdown"),
			goleak.IgnoreAnyFunction("github.com/moby/spdystream.(*Connection).shutdown.func1"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/tools/remotecommand.(*spdyStreamExecutor).StreamWithContext.func1"),
		); err == nil {
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
