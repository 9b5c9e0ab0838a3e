package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// URL paths of the requests without an upgrade, in addition to versionPath.
const (
	versionPath = "/version"
	listPath    = "/api/v1/namespaces/default/configmaps"
	watchPath   = listPath + "?watch=1"
)

// listItems is the number of items in the response to a LIST. Each item has about 256 bytes, so the
// response has about 20 KiB.
const listItems = 84

// list is the response to a LIST. watchEvent is the first event of a watch. It contains the first
// item of list.
var list, watchEvent = makeList()

func makeList() (list, event []byte) {
	type object = map[string]any
	items := make([]object, listItems)
	for i := range items {
		items[i] = object{
			"metadata": object{
				"name": fmt.Sprintf("bench-%03d", i), "namespace": "default",
				"uid":             fmt.Sprintf("6ba7b810-9dad-11d1-80b4-00c04fd4%04x", i),
				"resourceVersion": strconv.Itoa(100_000 + i), "creationTimestamp": "2026-01-02T03:04:05Z",
			},
			"data": object{"key": strings.Repeat("x", 60)},
		}
	}
	return mustMarshal(object{"kind": "ConfigMapList", "apiVersion": "v1", "metadata": object{"resourceVersion": "100100"}, "items": items}),
		append(mustMarshal(object{"type": "ADDED", "object": items[0]}), '\n')
}

func mustMarshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// answer returns a handler that sends a response as the API server sends an object: in one write,
// with the usual headers. It sets no Content-Length; net/http adds one if the response is small.
func answer(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		apiHeader(w.Header())
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

func apiHeader(h http.Header) {
	h.Set("Audit-Id", "0f7e9f3c-3c27-4bf9-8a43-6f6f2d1f5c2b")
	h.Set("Cache-Control", "no-cache, private")
	h.Set("Content-Type", "application/json")
	h.Set("X-Kubernetes-Pf-Flowschema-Uid", "c1d0a0de-8c0b-4f0e-9d3f-1f6f0d6e5a11")
	h.Set("X-Kubernetes-Pf-Prioritylevel-Uid", "2b7f6c4e-53a9-4c55-b2a7-6f0c9f6d7e22")
}

// listOrWatch answers a LIST, or a watch with one event and then nothing until the client
// disconnects.
func listOrWatch(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "" {
		answer(http.StatusOK, string(list))(w, r)
		return
	}
	apiHeader(w.Header())
	_, _ = io.Copy(w, bytes.NewReader(watchEvent))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}
