package main

// phase is where a run stands.
type phase int32

const (
	ramping phase = iota
	holding
	ending
)

var phaseNames = [...]string{ramping: "ramp", holding: "hold", ending: "end"}
