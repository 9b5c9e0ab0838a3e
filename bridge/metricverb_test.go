package bridge

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"edge/internal/metric"
)

// apiServerVerb returns the verb that the API server's metrics have for a request.
func apiServerVerb(t *testing.T, r *http.Request) string {
	t.Helper()
	infos := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := infos.NewRequestInfo(r)
	if err != nil {
		return "" // not a path of the API server
	}
	connects := map[string][]string{"pods": {"exec", "attach", "portforward", "proxy"}, "services": {"proxy"}, "nodes": {"proxy"}}
	exists := (info.Resource == "nodes") == (info.Namespace == "")
	if info.APIGroup == "" && exists && slices.Contains(connects[info.Resource], info.Subresource) {
		return verbConnect
	}
	if info.IsResourceRequest {
		switch info.Verb {
		case "list":
			return verbList
		case "watch":
			return verbWatch
		}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return verbGet
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return r.Method
	}
	return metric.Other
}

// TestMetricVerb compares the verbs of requests to random paths with those that the API server
// reads from them.
func TestMetricVerb(t *testing.T) {
	t.Parallel()
	const cases = 20_000
	random := rand.New(rand.NewPCG(19, 11))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	seen := map[string]int{}
	for range cases {
		segments := []string{pick("/api/v1", "/api/v1", "/apis/apps/v1", "/apis/example.com/v1beta1", "/healthz", "/openapi/v3", "/api", "/apis", "/apis/apps")}
		if random.IntN(2) == 0 {
			segments = append(segments, "namespaces", pick("a", "status", "finalize"))
		}
		for range random.IntN(4) {
			segments = append(segments, pick("pods", "nodes", "services", "deployments", "x", "log", "exec", "portforward", "proxy", "status"))
		}
		r := &http.Request{
			Method: pick(http.MethodGet, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions),
			URL:    &url.URL{Path: strings.Join(segments, "/"), RawQuery: pick("", "", "watch=1", "watch=false", "limit=5")},
		}
		got, want := metricVerb(r), apiServerVerb(t, r)
		seen[want]++
		if want == "" {
			continue
		}
		if got == verbWatch && want != verbList && want != verbWatch && strings.Contains(r.URL.RawQuery, "watch=1") {
			continue // a query that the API server ignores there
		}
		if got != want {
			t.Errorf("%s %s: %s, the API server says %s", r.Method, r.URL, got, want)
		}
	}
	for _, verb := range requestVerbLabel.Values {
		if seen[verb] == 0 {
			t.Errorf("no request had the verb %s", verb)
		}
	}
}
