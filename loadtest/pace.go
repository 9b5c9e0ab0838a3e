package main

// maxRate limits the writes per second of one session.
const maxRate = 100_000

// pace describes the writes of a busy or a bulk session.
type pace struct {
	size int     // bytes of each write
	rate float64 // writes per second; 0: as fast as --in-flight permits
	// alone makes a session whose rate is 0 wait until the previous write has come back, like a
	// user who types into a slow terminal.
	alone bool
}
