//go:build !linux

package proc

import (
	"errors"
	"time"
)

// CPUTime always fails on this operating system: it is implemented for Linux only.
func CPUTime(int) (time.Duration, error) {
	return 0, errors.New("proc: process memory and CPU time can be read on Linux only")
}
