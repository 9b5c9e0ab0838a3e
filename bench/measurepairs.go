package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// measurePairs measures each pair (client dialect and upstream protocol). The pairs take turns.
// bench divides the cost of each pair by the cost of a relay (a proxy that copies bytes), which has
// its turn shortly before the pair.
func measurePairs(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	lanes, err := l.startLanes(ctx, s)
	for _, lane := range lanes {
		defer lane.stop()
	}
	if err != nil {
		return err
	}
	experiments := []experiment{
		downExperiment(s.transferSize(maxWrite), maxWrite),
		upExperiment(s.transferSize(maxWrite), maxWrite),
	}
	if s.PairKeys > 0 {
		experiments = append(experiments, keystrokeExperiment(s.PairKeys))
	}
	for round := range s.Rounds {
		for _, e := range experiments {
			for _, lane := range lanes {
				readings, err := e.turn(ctx, lane.proxy)
				if err != nil {
					return err
				}
				cost := readings[0] // CPU time only; latencies are not reported for pairs, because they include the time that the upstream server takes
				r.addPair(lane, cost)
				printProgress(progress, round, s.Rounds, lane.label, []reading{cost})
			}
		}
	}
	return nil
}

// startLanes starts the processes that the measurement of pairs needs, one of each kind. It returns
// the list of lanes; a lane is one proxy with one client dialect. startLanes sends some traffic
// through each lane, and returns an error if the traffic fails. In the list, each relay is followed
// by the pairs that are compared with it, and edge's lane in a pair is followed by the lanes of
// other proxies in the same pair. The caller stops the lanes, also after an error.
func (l *lab) startLanes(ctx context.Context, s settings) (lanes []lane, err error) {
	running := map[string]proxy{}
	start := func(kind string, start starter, client dialect, label, relay string) error {
		p, ok := running[kind]
		if !ok {
			process, address, err := start(ctx, l)
			if err != nil {
				return fmt.Errorf("%s: %w", label, err)
			}
			p = proxy{process: process, target: l.target(address)}
			running[kind] = p
		}
		p.client, p.label = client, label
		lanes = append(lanes, lane{proxy: &p, relay: relay})
		return p.warm(ctx, s)
	}
	relay := ""
	for _, pair := range pairs {
		if !slices.Contains(s.Pairs, pair.name()) {
			continue
		}
		if relay != relayName(pair.relay) {
			relay = relayName(pair.relay)
			if err := start("relay", startRole("relay"), pair.relay, relay, ""); err != nil {
				return lanes, err
			}
		}
		if err := start(pair.mode(), startEdge(pair.mode(), false), pair.client, pair.name(), relay); err != nil {
			return lanes, err
		}
		if err := l.checkSpoken(ctx, pair); err != nil {
			return lanes, err
		}
		if l.before != "" {
			if err := start(labelBefore+pair.mode(), startEdge(pair.mode(), true), pair.client, pair.beforeName(), relay); err != nil {
				return lanes, err
			}
			if err := l.checkSpoken(ctx, pair); err != nil {
				return lanes, err
			}
		}
		if pair.peer == "" {
			continue
		}
		if err := start(pair.peer, startRole(pair.peer), pair.client, pair.peerName(), relay); err != nil {
			return lanes, err
		}
		if err := l.checkSpoken(ctx, pair); err != nil {
			return lanes, err
		}
	}
	return lanes, nil
}

// checkSpoken asks the upstream server in which protocol the last stream was requested, and returns
// an error if it is not the protocol of the pair p. edge can choose another protocol than its flag
// sets, and then the figures would have the wrong name.
func (l *lab) checkSpoken(ctx context.Context, p pair) error {
	client := &http.Client{Timeout: handshakeTimeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: l.pki.pool}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.upstream+spokenPath, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("bench: get the protocol of the last stream from upstream: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err != nil {
		return fmt.Errorf("bench: get the protocol of the last stream from upstream: %w", err)
	}
	if spoken := string(text); spoken != p.spoken {
		return fmt.Errorf("bench: %s: the proxy used the wrong protocol upstream: %s", p.name(), spoken)
	}
	return nil
}
