package main

// phase is the current part of a load test: ramp (sessions open), hold, or ending.
type phase int32

const (
	ramping phase = iota
	holding
	ending
)

var phaseNames = [...]string{ramping: "ramp", holding: "hold", ending: "end"}
