package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/network"
)

// lineRate is the rate in bytes per second of a line, a relay that simulates a distant network.
const lineRate = 40_000_000

// A request through edge crosses two network connections, of which one has the long round trip. A
// direct request to the API server crosses one connection, which always has the long round trip.
const (
	farAPIServer = "between edge and the API server"
	farClient    = "between client and edge"
)

// distance holds two clients that exchange data with a pod through the API server's proxy:
// `through` uses edge, `own` does not. The network connections of both have the same round trip.
type distance struct {
	*testing.T
	roundTrip    time.Duration
	where        string
	own, through *hand
}

// bytesURI is the path of a port of the pod that sends and receives bytes. It leads through the API
// server's proxy for pods, which does not limit the size of a body.
const bytesURI = podsURI + "/http:shell:8082/proxy/"

func startDistance(t *testing.T, where string, roundTrip time.Duration) *distance {
	t.Helper()
	s := badDays(t)
	api := s.cluster.AdminAccess()
	newLine := func(target string) *network.Relay {
		line, err := bed.StartLine(target, network.LineOptions{RoundTrip: roundTrip, Rate: lineRate})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(line.Cut)
		return line
	}
	options := testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp}
	if where == farAPIServer {
		options.Upstream = newLine(host(api)).Through(api)
	}
	edge := startEdge(t, options)
	through := edge.Access(tokens["alice"])
	if where == farClient {
		through = newLine(edge.Addr).Through(through)
	}
	own := newLine(host(api)).Through(s.ownAccess(t, "alice", "dev"))
	d := &distance{T: t, roundTrip: roundTrip, where: where, own: newHand(t, own), through: newHand(t, through)}
	for _, h := range []*hand{d.own, d.through} {
		eventually(t.Context(), t, patience, "the pod", func(ctx context.Context) error {
			_, err := d.download(ctx, h, 1)
			return err
		})
	}
	return d
}

// download downloads size bytes from the pod and returns the rate in bytes per second.
func (d *distance) download(ctx context.Context, h *hand, size int64) (float64, error) {
	start := time.Now()
	resp, err := h.begin(ctx, http.MethodGet, fmt.Sprintf("%s?bytes=%d", bytesURI, size), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != size) {
		err = fmt.Errorf("%s, %d bytes, want %d", resp.Status, n, size)
	}
	return float64(n) / time.Since(start).Seconds(), err
}

// upload uploads size bytes to the pod and returns the rate in bytes per second.
func (d *distance) upload(ctx context.Context, h *hand, size int64) (float64, error) {
	start := time.Now()
	r := h.do(ctx, http.MethodPost, bytesURI, make([]byte, size), "Content-Type: application/octet-stream")
	if r.err == nil && (r.code != http.StatusOK || string(r.body) != fmt.Sprint(size)) {
		r.err = fmt.Errorf("%v, want %d bytes", r, size)
	}
	return float64(size) / time.Since(start).Seconds(), r.err
}

// compare transfers size bytes several times, alternately through edge and directly. It returns the
// median rates in MB/s.
func (d *distance) compare(what string, carry func(context.Context, *hand, int64) (float64, error), size int64, runs int) (through, own float64) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), time.Duration(runs)*patience)
	defer cancel()
	var all [2][]float64
	for range runs {
		for i, h := range []*hand{d.through, d.own} {
			rate, err := carry(ctx, h, size)
			if err != nil {
				d.Fatal(err)
			}
			all[i] = append(all[i], rate/1e6)
		}
	}
	through, own = median(all[0]), median(all[1])
	d.Logf("%s of %d MiB, %v %s: %.1f MB/s through edge, %.1f direct: %.2f (median of %d)", what, size>>20, d.roundTrip, d.where, through, own, through/own, runs)
	return through, own
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}

// openWatches opens n watches through edge, at most 100 on each of the client's connections.
func (d *distance) openWatches(n int) {
	d.Helper()
	var h *hand
	for i := range n {
		if i%100 == 0 {
			h = newHand(d.T, d.through.to)
		}
		f := h.follow(d.Context(), watchOf("nobody"))
		select {
		case err := <-f.began:
			if err != nil {
				d.Fatalf("watch %d: %v", i, err)
			}
		case <-time.After(patience):
			d.Fatalf("watch %d: no response before the timeout", i)
		}
	}
}

// TestDistance checks edge over a connection with a round trip of 50 ms. edge must be at least half
// as fast as the API server itself at the same time; with a flow-control window that is too small,
// it is much slower. `make distance` measures precisely.
func TestDistance(t *testing.T) {
	const half = 0.5
	t.Run(farAPIServer, func(t *testing.T) {
		d := startDistance(t, farAPIServer, 50*time.Millisecond)
		if through, own := d.compare("download", d.download, 32<<20, 3); through < half*own {
			t.Errorf("%.1f MB/s, want %.1f", through, half*own)
		}
		d.openWatches(200)
		if through, own := d.compare("download beside 200 watches", d.download, 32<<20, 3); through < half*own {
			t.Errorf("beside 200 watches: %.1f MB/s, want %.1f", through, half*own)
		}
		if through, own := d.compare("upload", d.upload, 16<<20, 1); through < half*own {
			t.Errorf("up: %.1f MB/s, want %.1f", through, half*own)
		}
	})
	t.Run(farClient, func(t *testing.T) {
		d := startDistance(t, farClient, 50*time.Millisecond)
		if through, own := d.compare("download", d.download, 32<<20, 3); through < half*own {
			t.Errorf("%.1f MB/s, want %.1f", through, half*own)
		}
		if through, own := d.compare("upload", d.upload, 16<<20, 1); through < 1.2*own {
			t.Errorf("up: %.1f MB/s, want more than %.1f", through, 1.2*own)
		}
	})
}
