//go:build !race

package spdy_test

// See race_test.go.
const raceDetector = false
