package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/component-base/term"
)

const (
	// lineGap is how often there is a line where there is no terminal.
	lineGap  = 5 * time.Second
	barWidth = 20
	// eraseLine returns to the line's begin and clears it.
	eraseLine = "\r\x1b[K"
)

// progress shows a run while it goes on.
type progress struct {
	out      io.Writer
	run      *run
	names    []string // of the processes in samples
	terminal bool
	shown    float64 // the last line's time, in seconds
	phase    string  // and its phase
}

func newProgress(out io.Writer, sm *sampler) *progress {
	_, _, err := term.TerminalSize(out)
	p := &progress{out: out, run: sm.run, terminal: err == nil}
	for _, process := range sm.processes {
		p.names = append(p.names, process.name)
	}
	return p
}

// show shows a sample: in the same line of a terminal, else when something is new, or some time has passed.
func (p *progress) show(s *sample) {
	line := p.line(s)
	if p.terminal {
		fmt.Fprint(p.out, eraseLine+line)
		return
	}
	if s.Phase != p.phase || s.Seconds-p.shown >= lineGap.Seconds() {
		p.phase, p.shown = s.Phase, s.Seconds
		fmt.Fprintln(p.out, line)
	}
}

// done leaves the terminal's line.
func (p *progress) done() {
	if p.terminal {
		fmt.Fprintln(p.out)
	}
}

func (p *progress) line(s *sample) string {
	o := p.run.options
	whole := (o.ramp + o.duration).Seconds()
	var b strings.Builder
	if p.terminal {
		filled := min(barWidth, int(barWidth*s.Seconds/whole))
		fmt.Fprintf(&b, "[%s%s] ", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled))
	}
	fmt.Fprintf(&b, "%-4s %s/%s  open %d/%d  errors %d  %.0f round trips/s", s.Phase,
		(time.Duration(s.Seconds) * time.Second), (o.ramp + o.duration).Round(time.Second), s.Open, o.sessions, s.Failed, s.TripRate)
	if s.P99 > 0 {
		fmt.Fprintf(&b, " p50 %.1f ms p99 %.1f ms", s.P50, s.P99)
	}
	fmt.Fprintf(&b, "  up %s/s down %s/s", bytesText(s.UpRate), bytesText(s.DownRate))
	for i, process := range s.Processes {
		isOwn := i == 0
		if isOwn && len(s.Processes) > 1 { // those that are watched are of more interest
			continue
		}
		if process.RSS > 0 {
			fmt.Fprintf(&b, "  %s %s", p.names[i], bytesText(float64(process.RSS)))
		}
	}
	return b.String()
}
