package bridge

import (
	"net/http"
	"strings"

	"edge/bridge/internal/negotiate"
	"edge/internal/metric"
)

// Values of the label verb of a request's metrics. They are those of kube-apiserver's metric
// apiserver_request_duration_seconds, except that verbWatch has every answer that may have no end.
const (
	verbGet     = "GET"
	verbList    = "LIST"
	verbWatch   = "WATCH"
	verbPost    = "POST"
	verbPut     = "PUT"
	verbPatch   = "PATCH"
	verbDelete  = "DELETE"
	verbConnect = "CONNECT" // a stream, or a request to a proxy subresource
)

var requestVerbLabel = metric.Label{Name: "verb", Values: []string{
	verbGet, verbList, verbWatch, verbPost, verbPut, verbPatch, verbDelete, verbConnect, metric.Other,
}}

// metricVerb returns the value of the label verb for a request.
func metricVerb(r *http.Request) string {
	if negotiate.IsProxied(r.URL.Path) || negotiate.ParseTarget(r.URL).IsStream() {
		return verbConnect
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		switch {
		case negotiate.IsEndless(r):
			return verbWatch
		case isCollection(r.URL.Path):
			return verbList
		}
		return verbGet
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return r.Method
	}
	return metric.Other
}

// isCollection reports whether path names all objects of a resource, in a namespace or in the
// cluster.
func isCollection(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		if rest, ok = strings.CutPrefix(path, "/apis/"); !ok {
			return false
		}
		_, rest, _ = strings.Cut(rest, "/") // the group
	}
	_, rest, _ = strings.Cut(rest, "/") // the version
	rest = strings.Trim(rest, "/")
	const namespaces = "namespaces/"
	if inside, ok := strings.CutPrefix(rest, namespaces); ok {
		_, of, isOf := strings.Cut(inside, "/")
		return isOf && of != "status" && of != "finalize" && !strings.Contains(of, "/")
	}
	return rest != "" && !strings.Contains(rest, "/")
}
