//go:build !linux

package proc

import (
	"errors"
	"time"
)

// CPUTime fails.
func CPUTime(int) (time.Duration, error) {
	return 0, errors.New("proc: memory and CPU of processes can be read on Linux only")
}
