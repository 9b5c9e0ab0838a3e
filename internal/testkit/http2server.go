package testkit

import (
	"net/http"

	"golang.org/x/net/http2"
)

// HTTP2Server is an HTTP/2 server for ServeConn, with at most so many streams at a time on a connection; 0 for x/net's own bound.
// One that nobody configured shares a pool of channels with all others of the process, and a channel that was made in one
// synctest bubble must not come to another.
func HTTP2Server(mostStreams uint32) *http2.Server {
	s := &http2.Server{MaxConcurrentStreams: mostStreams}
	if err := http2.ConfigureServer(new(http.Server), s); err != nil {
		panic(err) // it only dislikes cipher suites, and there are none
	}
	return s
}
