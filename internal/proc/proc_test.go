package proc

import (
	"os"
	"strings"
	"testing"
)

const statusFile = "Name:\tedge\nUmask:\t0022\nVmPeak:\t 1262592 kB\nVmHWM:\t   45644 kB\nVmRSS:\t   41644 kB\nThreads:\t11\n"

func TestProcKiB(t *testing.T) {
	for _, test := range []struct {
		text, field string
		want        int64
		ok          bool
	}{
		{statusFile, "VmRSS", 41644, true},
		{statusFile, "VmHWM", 45644, true},
		{"VmRSS:\t0 kB", "VmRSS", 0, true},
		{statusFile, "VmSwap", 0, false},
		{statusFile, "RSS", 0, false},
		{statusFile, "Threads", 0, false},
		{"VmRSS:\t-1 kB\n", "VmRSS", 0, false},
		{"VmRSS:\t99999999999999999999 kB\n", "VmRSS", 0, false},
		{"VmRSS: kB\n", "VmRSS", 0, false},
		{"", "VmRSS", 0, false},
	} {
		got, err := KiB(test.text, test.field)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%s of %q: %d, %v", test.field, test.text, got, err)
		}
	}
}

func TestProcFieldTakesTheFirst(t *testing.T) {
	const cpuinfo = "processor\t: 0\nmodel name\t: A CPU: fast\n\nprocessor\t: 1\nmodel name\t: Another\n"
	if got, ok := Field(cpuinfo, "model name"); !ok || got != "A CPU: fast" {
		t.Errorf("%q, %v", got, ok)
	}
}

func TestResidentKiBOfThisProcess(t *testing.T) {
	if got, err := ResidentKiB(os.Getpid()); err != nil || got < 1024 {
		t.Errorf("%d KiB, %v", got, err)
	}
	if _, err := ResidentKiB(-1); err == nil {
		t.Error("no error for the process id -1")
	}
}

func FuzzProcKiB(f *testing.F) {
	f.Add(statusFile, "VmRSS")
	f.Add("a:b:c kB\n:", "")
	f.Fuzz(func(t *testing.T, text, field string) {
		if n, err := KiB(text, field); n < 0 || err == nil && !strings.Contains(text, "kB") {
			t.Errorf("%q of %q: %d, %v", field, text, n, err)
		}
	})
}
