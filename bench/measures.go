package main

// The measures of streams. Tables, charts and bars.go use these names.
var (
	keystrokeCPU = measure{Name: "keystroke", Unit: "CPU us"}
	keystrokeP50 = measure{Name: "keystroke", Unit: "p50 us"}
	keystrokeP99 = measure{Name: "keystroke", Unit: "p99 us"}
	idleEmpty    = measure{Name: "idle process", Unit: "RSS MiB"}
	idleEach     = measure{Name: "idle session", Unit: "RSS KiB"}
	idleSpoken   = measure{Name: "idle after a keystroke", Unit: "RSS KiB"}
	idleWatch    = measure{Name: "idle watch", Unit: "RSS KiB"}
	idleGrowth   = measure{Name: "idle growth", Unit: "% of RSS"}
)

// perCPU is the unit of figures that are a number per second of the proxy's CPU time. More is
// better.
const perCPU = "per CPU s"

// transferMeasure returns the measure of a transfer in one direction, "down" or "up", with writes
// of size bytes.
func transferMeasure(direction string, size int) measure {
	return measure{Name: direction + ", " + sizeName(size), Unit: "CPU s/GB"}
}
