package main

// maxRate limits the writes per second of one session.
const maxRate = 100_000

// pace is how much a busy or a bulk session writes, and how often.
type pace struct {
	size int     // bytes of each write
	rate float64 // number of writes per second; 0: as many as --in-flight permits
	// alone makes a session with rate 0 wait until the server has echoed the previous write. Such a
	// session is like a user who types into a slow terminal.
	alone bool
}
