package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
)

// measurePairs gives each pair its turns, each after the relay that it is divided by.
func measurePairs(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	lanes, err := l.startLanes(ctx, s.Pairs)
	if err != nil {
		return err
	}
	experiments := []experiment{
		downExperiment(s.transferSize(maxWrite), maxWrite),
		upExperiment(s.transferSize(maxWrite), maxWrite),
	}
	if s.Keystrokes > 0 {
		experiments = append(experiments, keystrokeExperiment(s.Keystrokes))
	}
	for round := range s.Rounds {
		for _, e := range experiments {
			for _, lane := range lanes {
				readings, err := e.turn(ctx, lane.proxy)
				if err != nil {
					return err
				}
				cost := readings[0] // what follows is the time of the whole way, upstream's with it
				r.addPair(lane, cost)
				printProgress(progress, round, s.Rounds, lane.label, []reading{cost})
			}
		}
	}
	return nil
}

// startLanes starts what the named pairs need, a process per kind, and sends warm-up through each lane.
// Pairs stand behind their relay. The processes end with the lab.
func (l *lab) startLanes(ctx context.Context, names []string) ([]lane, error) {
	running := map[string]*proxy{}
	start := func(kind string, start starter, client dialect, label string) (*proxy, error) {
		if running[kind] == nil {
			process, address, err := start(ctx, l)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", label, err)
			}
			running[kind] = &proxy{process: process, target: l.target(address)}
		}
		p := *running[kind]
		p.client, p.label = client, label
		return &p, p.warm(ctx)
	}
	var relays []lane
	behind := map[string][]lane{}
	for _, name := range names {
		pair, _ := pairNamed(name)
		relay := relayName(pair.relay)
		if behind[relay] == nil {
			p, err := start("relay", startRole("relay"), pair.relay, relay)
			if err != nil {
				return nil, err
			}
			relays = append(relays, lane{proxy: p})
		}
		p, err := start(pair.mode(), startEdge(pair.mode()), pair.client, name)
		if err != nil {
			return nil, err
		}
		if err := l.checkSpoken(ctx, pair); err != nil {
			return nil, err
		}
		behind[relay] = append(behind[relay], lane{proxy: p, relay: relay})
	}
	var lanes []lane
	for _, relay := range relays {
		lanes = append(append(lanes, relay), behind[relay.label]...)
	}
	return lanes, nil
}

// checkSpoken asks upstream what it was spoken to in last: edge may choose otherwise than it was told,
// and its figures would then have the wrong name.
func (l *lab) checkSpoken(ctx context.Context, p pair) error {
	client := &http.Client{Timeout: handshakeTimeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: l.pki.pool}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.upstream+spokenPath, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("bench: ask what was spoken upstream: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err != nil {
		return fmt.Errorf("bench: ask what was spoken upstream: %w", err)
	}
	if spoken := string(text); spoken != p.spoken {
		return fmt.Errorf("bench: %s: edge speaks %s upstream", p.name(), spoken)
	}
	return nil
}
