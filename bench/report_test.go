package main

import (
	"bytes"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &report{Started: start, Settings: settings{Rounds: 3, IdleRounds: 1, Sessions: 500}, Machine: machine{
		Cores: 2, GOMAXPROCS: 2, Model: "A CPU", MemoryKiB: 2 << 20, Kernel: "6.1", HugePages: "madvise", Go: "go1.26"}}
	down := measure{"down, 32 KiB", "CPU s/GB"}
	idle := measure{"idle session", "RSS KiB"}
	for _, turn := range [][3]float64{{1, 3, 1}, {1.5, 3, 2}, {0.5, 4, 1}} {
		r.add("edge", []reading{{down, turn[0]}})
		r.add("translator", []reading{{down, turn[1]}})
		r.add("relay", []reading{{down, turn[2]}})
		r.add("nginx", []reading{{down, 2 * turn[2]}})
	}
	r.add("edge", []reading{{idle, 61.26}})
	r.add("relay", []reading{{idle, 122.52}})
	for _, turn := range [][2]float64{{1, 1.2}, {1, 1.3}, {2, 5}} {
		r.addPair(lane{proxy: &proxy{label: "relay exec/v4"}}, reading{down, turn[0]})
		r.addPair(lane{proxy: &proxy{label: "exec/v5/spdy"}, relay: "relay exec/v4"}, reading{down, turn[1]})
	}
	r.finish(start.Add(90 * time.Second))
	var got bytes.Buffer
	if err := writeTable(&got, r); err != nil {
		t.Fatal(err)
	}
	const want = `2 cores (GOMAXPROCS 2) A CPU, 2048 MiB, Linux 6.1, huge pages madvise, go1.26
2026-01-02 03:04:05, 3 rounds (1 idle with 500 sessions) in 90 s

measure       unit      proxy       median  spread        x relay  x nginx  x haproxy  x translator  x direct
down, 32 KiB  CPU s/GB  edge        1.00    0.500 - 1.50  0.75     0.38     -          0.33          -
down, 32 KiB  CPU s/GB  translator  3.00    3.00 - 4.00   3.00     1.50     -          -             -
down, 32 KiB  CPU s/GB  relay       1.00    1.00 - 2.00   -        0.50     -          0.33          -
down, 32 KiB  CPU s/GB  nginx       2.00    2.00 - 4.00   2.00     -        -          0.67          -
idle session  RSS KiB   edge        61.3    61.3 - 61.3   0.50     -        -          -             -
idle session  RSS KiB   relay       123     123 - 123     -        -        -          -             -

pair           measure       unit      median  spread       x relay
relay exec/v4  down, 32 KiB  CPU s/GB  1.00    1.00 - 2.00  -
exec/v5/spdy   down, 32 KiB  CPU s/GB  1.30    1.20 - 5.00  1.30

bar                    of    figure  spread         unit          limit         verdict
down, 32 KiB CPU s/GB  edge  0.333   0.125 - 0.500  x translator  at most 0.45  met
idle session RSS KiB   edge  61.3    61.3 - 61.3    RSS KiB       at most 32    MISSED
17 of 19 bars (limits for edge's figures) were not measured
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

func TestSizeName(t *testing.T) {
	for n, want := range map[int]string{100: "100 B", 1024: "1 KiB", 1500: "1500 B", 32 << 10: "32 KiB", 1 << 20: "1 MiB"} {
		if got := sizeName(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
