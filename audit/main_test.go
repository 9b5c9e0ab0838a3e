// These tests use TLS without the post-quantum key exchange: with -race, a handshake then needs
// 10 ms less CPU.
//
//go:debug tlsmlkem=0
//go:debug tlssecpmlkem=0

package audit

import (
	"flag"
	"io"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/klog/v2"
)

// TestMain checks that no goroutine is left running, and silences the log of the libraries.
func TestMain(m *testing.M) {
	klog.InitFlags(nil)
	flag.Set("logtostderr", "false")
	flag.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	goleak.VerifyTestMain(m,
		// lumberjack starts one goroutine per rotated file, and never stops it.
		goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"),
	)
}
