package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrNoMemory means that the process has no resident memory. Either it has ended and its parent has
// not yet waited for it, or it is a kernel thread.
var ErrNoMemory = errors.New("proc: the process has no resident memory (it has ended, or is a kernel thread)")

// ResidentKiB returns the resident memory of the process in KiB, as the kernel counts it (VmRSS).
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

// Descriptors returns the number of file descriptors that the process has open. It returns 0 if the
// number is not known: before Linux 6.2, or if the caller is not the owner of the process.
func Descriptors(pid int) int {
	fds, err := os.Stat(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return int(fds.Size())
}

// Name returns the name of the process with its id, such as "edge (42)", or the id alone if the
// name cannot be read.
func Name(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return strconv.Itoa(pid)
	}
	return fmt.Sprintf("%s (%d)", strings.TrimSpace(string(name)), pid)
}

// Field returns the value of the first line "name: value" in text, without surrounding spaces, and
// whether text has such a line.
func Field(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// KiB returns the number of a field whose value is "<n> kB". The kernel writes kB and means KiB.
func KiB(text, name string) (int64, error) {
	value, ok := Field(text, name)
	if !ok {
		return 0, fmt.Errorf("proc: the field %q is missing", name)
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
