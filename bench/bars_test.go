package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// rounds adds one figure for each round to a proxy's figures in the report.
func (r *report) rounds(proxy string, m measure, values ...float64) {
	for _, v := range values {
		r.add(proxy, []reading{{m, v}})
	}
}

func TestBarsAreHeldAgainstTheCheapestInTheSameRound(t *testing.T) {
	down, up := transferMeasure("down", maxWrite), transferMeasure("up", maxWrite)
	r := &report{}
	r.rounds("edge", down, 1, 2, 3)
	r.rounds("relay", down, 2, 2, 2)
	r.rounds("nginx", down, 1, 1, 4) // nginx is the cheapest proxy by its median; in the three rounds, edge divided by nginx is 1, 2 and 0.75
	r.rounds("haproxy", down, 3, 3, 3)
	r.rounds("edge", up, 1)
	r.rounds("relay", up, 2)
	r.rounds("nginx", up, 2) // haproxy is missing, so the cheapest of relay, nginx and haproxy is unknown
	r.rounds("translator", up, 5)
	r.rounds("relay", keystrokeCPU, 1)
	r.rounds("edge", idleEach, 40)
	r.addPair(lane{proxy: &proxy{label: "relay exec/v5"}}, reading{down, 2})
	r.addPair(lane{proxy: &proxy{label: "exec/v5/v5"}, relay: "relay exec/v5"}, reading{down, 3})
	r.finish(time.Now())
	var got bytes.Buffer
	if err := writeBars(&got, r.Bars); err != nil {
		t.Fatal(err)
	}
	const want = `bar                    of          figure  spread        unit          limit         verdict
down, 32 KiB CPU s/GB  edge        1.00    0.750 - 2.00  x nginx       at most 1     met
up, 32 KiB CPU s/GB    edge        0.200   0.200 - 0.200 x translator  at most 0.25  met
down, 32 KiB CPU s/GB  exec/v5/v5  1.50    1.50 - 1.50   x relay       at most 1     MISSED
idle session RSS KiB   edge        40.0    40.0 - 40.0   RSS KiB       at most 32    MISSED
`
	lines := bytes.SplitAfterN(got.Bytes(), []byte("\n"), 6)
	if joined := string(bytes.Join(lines[:5], nil)); squeeze(joined) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", joined, want)
	}
	if text := got.String(); !bytes.Contains(lines[5], []byte("were not measured")) {
		t.Errorf("the number of missing bars is not reported:\n%s", text)
	}
}

// TestBarsBesideThoseOfBefore checks that the tables contain the figures of the second edge binary,
// which the flag --before names. The table of bars (limits for edge's figures) has columns for
// them, and the table of proxies has the ratios "x before".
func TestBarsBesideThoseOfBefore(t *testing.T) {
	down := transferMeasure("down", maxWrite)
	r := &report{}
	r.rounds("edge", down, 1, 2)
	r.rounds("before", down, 2, 2)
	r.rounds("relay", down, 2, 4)
	r.rounds("nginx", down, 3, 5)
	r.rounds("haproxy", down, 4, 5)
	r.addPair(lane{proxy: &proxy{label: "relay exec/v5"}}, reading{down, 2})
	r.addPair(lane{proxy: &proxy{label: "exec/v5/v5"}, relay: "relay exec/v5"}, reading{down, 3})
	r.addPair(lane{proxy: &proxy{label: "before exec/v5/v5"}, relay: "relay exec/v5"}, reading{down, 1})
	r.finish(time.Now())
	var got bytes.Buffer
	if err := writeTable(&got, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nmeasure unit proxy median spread x before x relay",
		"\ndown, 32 KiB CPU s/GB edge 1.50 1.00 - 2.00 0.75 0.50 ",
		"\nbar of figure spread unit limit verdict before spread\n",
		"\ndown, 32 KiB CPU s/GB edge 0.500 0.500 - 0.500 x relay at most 1 met 0.750 0.500 - 1.00\n",
		"\ndown, 32 KiB CPU s/GB exec/v5/v5 1.50 1.50 - 1.50 x relay at most 1 MISSED 0.500 0.500 - 0.500\n",
	} {
		if text := squeeze(got.String()); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestBarMayBeAFloor(t *testing.T) {
	defer func(old []bar) { bars = old }(bars)
	m := measure{"requests", "1/CPU s"}
	bars = []bar{{measure: m, against: relay, limit: 0.9, atLeast: true}}
	for value, met := range map[float64]bool{80: false, 90: true, 200: true} {
		r := &report{}
		r.rounds("edge", m, value)
		r.rounds("relay", m, 100)
		r.finish(time.Now())
		if len(r.Bars) != 1 || r.Bars[0].Met != met {
			t.Errorf("%v of 100: %+v", value, r.Bars)
		}
	}
}

// squeeze replaces each sequence of spaces by one space, because the number of spaces depends on
// the widths of the table's columns.
func squeeze(text string) string {
	var out []byte
	for line := range bytes.Lines([]byte(text)) {
		out = append(append(out, bytes.Join(bytes.Fields(line), []byte(" "))...), '\n')
	}
	return string(out)
}
