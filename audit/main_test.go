package audit

import (
	"flag"
	"io"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/klog/v2"
)

// TestMain checks that nothing is left running, and silences the libraries' log.
func TestMain(m *testing.M) {
	klog.InitFlags(nil)
	flag.Set("logtostderr", "false")
	flag.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	goleak.VerifyTestMain(m,
		// One for each file that is rotated, for as long as the process lives: lumberjack ends it never.
		goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"),
	)
}
