package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ, which the kernel shows as 100 everywhere.
const tick = time.Second / 100

// The fields of /proc/PID/stat after the name, from 0; see proc_pid_stat(5).
const (
	statUser   = 11
	statSystem = 12
	statRSS    = 21 // pages
	statFields = 22
)

func readUsage(pid int) (u usage, err error) {
	folder := fmt.Sprintf("/proc/%d", pid)
	text, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return u, fmt.Errorf("process %d: %w", pid, err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // a name may have spaces
	if len(fields) < statFields {
		return u, fmt.Errorf("process %d: cannot read its times", pid)
	}
	var n [3]int64
	for i, field := range [...]int{statUser, statSystem, statRSS} {
		if n[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return u, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	u.CPU = time.Duration(n[0]+n[1]) * tick
	u.RSS = n[2] * int64(os.Getpagesize())
	if fds, err := os.Stat(folder + "/fd"); err == nil {
		u.Descriptors = int(fds.Size()) // their number since Linux 6.2, 0 before
	}
	return u, nil
}

func processName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return strconv.Itoa(pid)
	}
	return fmt.Sprintf("%s (%d)", strings.TrimSpace(string(name)), pid)
}
