//go:build soak

package e2e

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

// Values for `make distance`, during which no other test runs.
var (
	distanceRuns = flag.Int("distance-runs", 5, "downloads of each kind in TestDistanceTable; the result is their median")
	uploadRuns   = flag.Int("distance-upload-runs", 3, "uploads of each kind in TestDistanceTable; the result is their median")
)

const (
	downloadBytes = 64 << 20
	uploadBytes   = 100 << 20
	// smallest accepted ratio of two download rates: through edge, divided by direct
	distanceBar = 0.8
	// smallest accepted ratio of upload rates if the API server is distant: edge must not be slower
	// than direct, within the measurement error
	uploadBar = 0.95
	// smallest accepted ratio of upload rates if the client is distant: edge must be twice as fast
	// as direct
	uploadNearBar  = 2
	distantWatches = 200
)

// TestDistanceTable measures the rates of downloads and uploads over connections with a round trip
// of 20, 50 and 100 ms.
func TestDistanceTable(t *testing.T) {
	var rows []string
	held := func(t *testing.T, what string, d *distance, through, own, bar float64) {
		rows = append(rows, fmt.Sprintf("| %s | %v %s | %.1f | %.1f | %.2f | %.2f |", what, d.roundTrip, d.where, through, own, through/own, bar))
		if through < bar*own {
			t.Errorf("%s, %v %s: %.1f MB/s, want %.2f x %.1f", what, d.roundTrip, d.where, through, bar, own)
		}
	}
	for _, where := range []string{farAPIServer, farClient} {
		for _, roundTrip := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v %s", roundTrip, where), func(t *testing.T) {
				d := startDistance(t, where, roundTrip)
				through, own := d.compare("download", d.download, downloadBytes, *distanceRuns)
				held(t, "download", d, through, own, distanceBar)
				d.openWatches(distantWatches)
				through, own = d.compare("download beside 200 watches", d.download, downloadBytes, *distanceRuns)
				held(t, "download beside 200 watches", d, through, own, distanceBar)
				if roundTrip != 50*time.Millisecond {
					return
				}
				through, own = d.compare("upload", d.upload, uploadBytes, *uploadRuns)
				if where == farAPIServer {
					held(t, "upload", d, through, own, uploadBar)
				} else {
					held(t, "upload", d, through, own, uploadNearBar)
				}
			})
		}
	}
	fmt.Print("\n| what | line | edge, MB/s | direct, MB/s | ratio | bar |\n|---|---|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Println(row)
	}
}
