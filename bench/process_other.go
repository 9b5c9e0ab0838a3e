//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

func cpuTime(int) (time.Duration, error) {
	return 0, errors.New("bench: measuring another process needs Linux")
}

func childAttributes() *syscall.SysProcAttr { return nil }
