package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/component-base/term"
)

const (
	// lineGap is the interval between two progress lines if stderr is not a terminal.
	lineGap  = 5 * time.Second
	barWidth = 20
	// eraseLine moves the terminal's cursor to the beginning of the line and clears the line.
	eraseLine = "\r\x1b[K"
)

// progress shows the state of a load test on stderr while it runs.
type progress struct {
	out      io.Writer
	run      *run
	names    []string // names of the watched processes, in the same order as in each sample
	terminal bool
	shown    float64 // time of the newest progress line, in seconds since the start
	phase    string  // phase of the newest progress line
}

func newProgress(out io.Writer, sm *sampler) *progress {
	_, _, err := term.TerminalSize(out)
	p := &progress{out: out, run: sm.run, terminal: err == nil}
	for _, process := range sm.processes {
		p.names = append(p.names, process.name)
	}
	return p
}

// show prints a sample (the state of the load test at one time). On a terminal it overwrites the
// same line. Otherwise it prints a line when the phase changes or lineGap has passed.
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

// done ends the progress line on a terminal, so that further output begins on a new line.
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
		if isOwn && len(s.Processes) > 1 { // show the processes of --watch-pid, if there are any, instead of loadtest
			continue
		}
		if process.RSS > 0 {
			fmt.Fprintf(&b, "  %s %s", p.names[i], bytesText(float64(process.RSS)))
		}
	}
	return b.String()
}
