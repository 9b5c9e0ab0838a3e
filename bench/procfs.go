package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// residentKiB is a process's resident memory as the kernel counts it.
func residentKiB(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: read resident memory: %w", err)
	}
	return procKiB(string(status), "VmRSS")
}

// procField finds the value of "name : value" in a file of such lines, the first if there are several.
func procField(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// procKiB reads a field whose value is "<n> kB", by which the kernel means KiB.
func procKiB(text, name string) (int64, error) {
	value, ok := procField(text, name)
	if !ok {
		return 0, fmt.Errorf("bench: no field %q", name)
	}
	number, ok := strings.CutSuffix(value, " kB")
	if !ok {
		return 0, fmt.Errorf("bench: field %q is %q, not in kB", name, value)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("bench: field %q is %q, not a size", name, value)
	}
	return n, nil
}

// bracketed is the chosen word of a list like "always [madvise] never".
func bracketed(text string) string {
	_, rest, _ := strings.Cut(text, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}
