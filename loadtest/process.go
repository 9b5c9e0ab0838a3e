package main

import (
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
