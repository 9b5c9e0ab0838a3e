package main

import (
	"os"
	"slices"
	"time"

	"edge/internal/proc"
)

// sampler records the samples of a load test: its state at regular intervals.
type sampler struct {
	run       *run
	processes []process
	begin     time.Time
	series    []sample

	last            time.Time
	up, down, trips int64
	cpu             []time.Duration
}

func newSampler(r *run) *sampler {
	sm := &sampler{run: r, processes: watchedProcesses(r.options.watchPIDs), begin: time.Now()}
	sm.last = sm.begin
	sm.cpu = make([]time.Duration, len(sm.processes))
	for i, p := range sm.processes {
		if u, err := readUsage(p.pid); err == nil {
			sm.cpu[i] = u.CPU
		}
	}
	return sm
}

// gap returns the interval between two samples of the load test's state.
func (sm *sampler) gap() time.Duration {
	o := sm.run.options
	return max(sampleGap, (o.ramp+o.duration)/maxSamples)
}

// keep takes a sample at once, and then one after each interval of length gap, until stop is
// closed. It passes each sample to show.
func (sm *sampler) keep(stop <-chan struct{}, show func(*sample)) {
	ticker := time.NewTicker(sm.gap())
	defer ticker.Stop()
	show(sm.take())
	for {
		select {
		case <-stop:
			if time.Since(sm.last) >= sampleGap/2 { // take no last sample if the newest one is too recent: rates over a short time would be inaccurate
				show(sm.take())
			}
			return
		case <-ticker.C:
			show(sm.take())
		}
	}
}

func (sm *sampler) take() *sample {
	t, now := sm.run.tally, time.Now()
	passed := max(now.Sub(sm.last).Seconds(), 1e-3)
	up, down, trips := t.up.Load(), t.down.Load(), t.trips.Load()
	p50, p99 := t.recent()
	s := sample{
		Seconds: now.Sub(sm.begin).Seconds(), Phase: phaseNames[sm.run.phase.Load()],
		Open: t.alive.Load(), Failed: t.failures.Load(),
		UpRate: float64(up-sm.up) / passed, DownRate: float64(down-sm.down) / passed, TripRate: float64(trips-sm.trips) / passed,
		P50: milliseconds(p50), P99: milliseconds(p99),
	}
	for i, p := range sm.processes {
		var ps processSample
		if u, err := readUsage(p.pid); err == nil {
			ps = processSample{RSS: u.RSS, CPU: 100 * (u.CPU - sm.cpu[i]).Seconds() / passed, Descriptors: u.Descriptors}
			sm.cpu[i] = u.CPU
		}
		s.Processes = append(s.Processes, ps)
	}
	sm.last, sm.up, sm.down, sm.trips = now, up, down, trips
	// Limit the number of samples. The limit is reached only if the ending of a load test takes
	// very long.
	if len(sm.series) < 2*maxSamples {
		sm.series = append(sm.series, s)
	}
	return &s
}

// watchedProcesses returns this process and the processes of --watch-pid, without duplicates.
func watchedProcesses(pids []int) []process {
	all := []process{{os.Getpid(), "loadtest"}}
	for _, pid := range pids {
		if !slices.ContainsFunc(all, func(p process) bool { return p.pid == pid }) {
			all = append(all, process{pid, proc.Name(pid)})
		}
	}
	return all
}
