package main

import (
	"os"
	"slices"
	"time"
)

// usage is what a process has and has used.
type usage struct {
	RSS         int64         // bytes
	CPU         time.Duration // user and system time since it began
	Descriptors int           // 0: not known
}

// process is one that is watched, this one first.
type process struct {
	pid  int
	name string
}

// watched are this process and those of --watch-pid.
func (o *options) watched() []process {
	all := []process{{os.Getpid(), "loadtest"}}
	for _, pid := range o.watchPIDs {
		if !slices.ContainsFunc(all, func(p process) bool { return p.pid == pid }) {
			all = append(all, process{pid, processName(pid)})
		}
	}
	return all
}
