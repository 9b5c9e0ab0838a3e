package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// watchEvery is the interval at which the upstream server sends an event of a watch.
const watchEvery = 5 * time.Second

// podWatch answers GET .../pods?watch=1 like an API server on which no pod changes. It sends a
// bookmark event at each interval of watchEvery until the client disconnects.
func podWatch(w http.ResponseWriter, r *http.Request) {
	if watch, err := strconv.ParseBool(r.URL.Query().Get("watch")); err != nil || !watch {
		http.Error(w, "bench: only watch requests are supported", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for version := 1; ; version++ {
		if _, err := io.WriteString(w, bookmark(version)); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

func bookmark(version int) string {
	return fmt.Sprintf(`{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"%d"},`+
		`"spec":{"containers":null},"status":{}}}`+"\n", version)
}
