package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tinyExperiments returns the experiments with which bench measures pairs, with very little data.
func tinyExperiments() []experiment {
	return []experiment{downExperiment(1<<20, maxWrite), upExperiment(1<<20, maxWrite), keystrokeExperiment(20)}
}

// TestClientsSpeakWhatUpstreamSpeaks checks every dialect of bench's client against the real
// implementations in the upstream server, without edge. The upstream server must report the dialect
// that the client used.
func TestClientsSpeakWhatUpstreamSpeaks(t *testing.T) {
	expectNothingLeft(t)
	l, err := openLab(t.Context(), settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	process, address, err := startRole("relay")(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		client dialect
		spoken string
	}{
		{execV1, spokenOther}, {execBase64, spokenOther}, {execV4, spokenOther}, {execV4Base64, spokenOther},
		{execV5, spokenV5}, {execSPDY, spokenSPDY},
		{forwardV4, spokenOther}, {forwardTunnel, spokenTunnel}, {forwardSPDY, spokenSPDY},
	} {
		t.Run(test.client.name, func(t *testing.T) {
			p := &proxy{process: process, label: test.client.name, client: test.client, target: l.target(address)}
			for _, e := range tinyExperiments() {
				if _, err := e.turn(t.Context(), p); err != nil {
					t.Error(err)
				}
			}
			checkFailures(t, p)
			for _, spoken := range []string{spokenSPDY, spokenV5, spokenTunnel, spokenOther} {
				err := l.checkSpoken(t.Context(), pair{client: test.client, spoken: spoken})
				if (err == nil) != (spoken == test.spoken) {
					t.Errorf("%s upstream: %v", spoken, err)
				}
			}
		})
	}
}

// checkFailures checks that bench's client detects a wrong number of bytes and a failed command.
// Otherwise a broken proxy would look fast.
func checkFailures(t *testing.T, p *proxy) {
	t.Helper()
	if _, err := p.open(t.Context(), work{command: []string{"sh"}}); err == nil || !strings.Contains(err.Error(), errCommand.Error()) {
		t.Errorf("a command that fails: %v", err)
	}
	for _, test := range []struct {
		command string
		receive int64
		err     error
	}{
		{"download 4 4", 5, errEarlyEnd},
		{"download 4 4", 3, errSurplus},
		{"download 4 2", 2, errSurplus},
	} {
		s, err := p.open(t.Context(), work{command: strings.Fields(test.command)})
		if err != nil {
			t.Fatal(err)
		}
		if err = s.begin(); err == nil {
			err = s.receive(test.receive)
		}
		if err == nil {
			err = s.finish()
		}
		s.close()
		if forgiven := p.client.forward && err == nil && test.receive == 2; !forgiven && !errors.Is(err, test.err) {
			t.Errorf("%d bytes of %s: %v, want %v", test.receive, test.command, err, test.err)
		}
	}
}

func TestEveryPairIsReported(t *testing.T) {
	edge, err := builtEdge()
	if err != nil {
		t.Fatal(err)
	}
	expectNothingLeft(t)
	var names []string
	want := map[string]string{} // expected name of the relay for each pair; empty for a relay
	for _, p := range pairs {
		names = append(names, p.name())
		want[p.name()] = relayName(p.relay)
		want[relayName(p.relay)] = ""
		if p.peer != "" {
			want[p.peerName()] = relayName(p.relay)
		}
	}
	file := filepath.Join(t.TempDir(), "report.json")
	var stdout, stderr bytes.Buffer
	args := smallArgs("--proxies", "", "--idle-rounds", "0", "--edge", edge, "--pairs", strings.Join(names, ","), "--json", file)
	if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	measures := map[string]int{}
	for _, p := range r.Pairs {
		measures[p.Pair]++
		relay, known := want[p.Pair]
		if !known || p.Relay != relay || (p.Ratio == nil) != (relay == "") {
			t.Errorf("%s %s is divided by %q: %v", p.Pair, p.Name, p.Relay, p.Ratio)
		}
		if len(p.Samples) != 2 || p.Median <= 0 || !strings.HasPrefix(p.Unit, "CPU") {
			t.Errorf("%s %s: %v %s of %v", p.Pair, p.Name, p.Median, p.Unit, p.Samples)
		}
	}
	for name := range want {
		if measures[name] != 3 {
			t.Errorf("%s has %d measures", name, measures[name])
		}
	}
	if lines := strings.Count(stdout.String(), "\n"); lines != 4+3*len(want)+3+len(r.Bars) || len(r.Bars) != 6 {
		t.Errorf("table of %d lines, want %d:\n%s", lines, 4+3*len(want)+3+6, &stdout)
	}
}

func TestPairThatEdgeCannotBeToldIsNamed(t *testing.T) {
	expectNothingLeft(t)
	old := filepath.Join(t.TempDir(), "edge")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho flags of old\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	args := smallArgs("--proxies", "", "--pairs", "exec/v5/v5", "--edge", old)
	code := run(t.Context(), args, &bytes.Buffer{}, &stderr)
	if code != exitError || !strings.Contains(stderr.String(), "exec/v5/v5: bench: this edge binary has no flag "+flagStreaming) {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
}

// TestPairsAreEveryClientTimesEveryUpstream checks that pairs contains every combination of a
// client dialect and an upstream protocol. Each must have a relay of the same subresource (exec or
// port-forward), and pairs with the same relay must be adjacent.
func TestPairsAreEveryClientTimesEveryUpstream(t *testing.T) {
	spoken := map[bool][]string{false: {spokenSPDY, spokenV5}, true: {spokenSPDY, spokenTunnel}}
	clients := []dialect{execV1, execBase64, execV4, execV4Base64, execV5, execSPDY, forwardV4, forwardSPDY, forwardTunnel}
	for _, client := range clients {
		for _, upstream := range spoken[client.forward] {
			if name := client.name + "/" + upstream; !slices.Contains(pairNames(), name) {
				t.Errorf("no %s", name)
			}
		}
	}
	var relays []string
	for _, p := range pairs {
		relays = append(relays, p.relay.name)
		if p.relay.forward != p.client.forward {
			t.Errorf("%s is divided by %s", p.name(), p.relay.name)
		}
	}
	if len(pairs) != 2*len(clients) {
		t.Errorf("%d pairs", len(pairs))
	}
	relays = slices.Compact(relays)
	if slices.Sort(relays); len(slices.Compact(relays)) != len(relays) {
		t.Errorf("pairs with the same relay are not adjacent: %q", relays)
	}
}
