package main

// maxRate bounds the writes per second of one session.
const maxRate = 100_000

// pace is what a busy session does.
type pace struct {
	size int     // bytes of a write
	rate float64 // writes per second; 0: as soon as --in-flight lets it
	// alone makes a write without a rate wait until the last has come back, as who types into a slow terminal does.
	alone bool
}
