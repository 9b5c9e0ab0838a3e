//go:build race

package spdy_test

// The race detector slows tests down, and makes sync.Pool forget.
const raceDetector = true
