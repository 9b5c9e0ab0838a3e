package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrNoMemory says that a process has none: it has ended and nobody has waited for it yet, or it is the kernel's.
var ErrNoMemory = errors.New("proc: the process has no memory")

// ResidentKiB is a process's resident memory as the kernel counts it.
func ResidentKiB(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("proc: read resident memory: %w", err)
	}
	const field = "VmRSS"
	if _, ok := Field(string(status), field); !ok {
		return 0, ErrNoMemory
	}
	return KiB(string(status), field)
}

// Descriptors is how many files a process has open; 0: not known, as before Linux 6.2 or to others than its owner.
func Descriptors(pid int) int {
	fds, err := os.Stat(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return int(fds.Size())
}

// Name is a process's name with its id, or its id alone.
func Name(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return strconv.Itoa(pid)
	}
	return fmt.Sprintf("%s (%d)", strings.TrimSpace(string(name)), pid)
}

// Field finds the value of "name : value" in a file of such lines, the first if there are several.
func Field(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// KiB reads a field whose value is "<n> kB", by which the kernel means KiB.
func KiB(text, name string) (int64, error) {
	value, ok := Field(text, name)
	if !ok {
		return 0, fmt.Errorf("proc: no field %q", name)
	}
	number, ok := strings.CutSuffix(value, " kB")
	if !ok {
		return 0, fmt.Errorf("proc: field %q is %q, not in kB", name, value)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("proc: field %q is %q, not a size", name, value)
	}
	return n, nil
}
