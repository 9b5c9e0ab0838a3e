package testkit

import (
	"net/http"

	"golang.org/x/net/http2"
)

// HTTP2Server returns an HTTP/2 server whose method ServeConn serves connections. mostStreams
// limits the open streams of one connection; 0 means the default of golang.org/x/net. The server is
// configured, because unconfigured servers share one pool of channels in the whole process: a
// channel that was made in one synctest bubble must not be used in another.
func HTTP2Server(mostStreams uint32) *http2.Server {
	s := &http2.Server{MaxConcurrentStreams: mostStreams}
	if err := http2.ConfigureServer(new(http.Server), s); err != nil {
		// Cannot happen: ConfigureServer fails only if a tls.Config lacks certain cipher suites, and
		// this http.Server has no tls.Config.
		panic(err)
	}
	return s
}
