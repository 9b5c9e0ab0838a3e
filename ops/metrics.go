package ops

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes limits how many requests for /metrics are answered at the same time. A pair of
// Prometheus servers and a person need three.
const maxScrapes = 8

// Metrics returns the handler of /metrics. It serves the collectors, and the metrics go_ and
// process_ of every Go process, in the text format of Prometheus, in OpenMetrics or in protobuf, as
// the client prefers. A collector that fails is logged, and the others are still served.
func Metrics(log *slog.Logger, all ...prometheus.Collector) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	all = append(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log}, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true,
	}), nil
}

// scrapeLog is the log of promhttp.
type scrapeLog struct{ log *slog.Logger }

func (s scrapeLog) Println(v ...any) { s.log.Warn("metrics could not be collected", "error", v) }
