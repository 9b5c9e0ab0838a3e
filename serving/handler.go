package serving

import "net/http"

const (
	// fieldBytes is what HTTP/2 adds, in bytes, to the size of each header field (RFC 9113, section
	// 6.5.2).
	fieldBytes = 32
	// fewFields is the number of fields for which net/http allows fieldBytes each on top of
	// MaxHeaderBytes.
	fewFields = 10
)

// serve runs for each request. It ends a connection with too many 401 answers, and charges an
// unauthenticated connection's request to the memory budget: its header until its handler has
// returned, and its answer until the client's flow control window has allowed all of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := Of(r)
	if c.ending() {
		w.Header().Set("Connection", "close") // over HTTP/2, package http2 then sends GOAWAY
	}
	if c.known.Load() {
		s.handle(w, r)
		return
	}
	cost := s.budget.begin(c)
	defer func() { s.budget.end(c, cost) }()
	s.handle(w, r)
	if r.ProtoMajor != 2 {
		return
	}
	if more := s.budget.answer(c); more > 0 {
		cost += more
		_ = http.NewResponseController(w).Flush() // waits for the client; an error means that it has disconnected
	}
}

// handle calls the handler, or refuses an HTTP/2 header that is too large.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && headerSize(r) > s.maxHeader()+fewFields*fieldBytes {
		headersTooLarge(s.maxHeader()).write(w)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// headerSize returns the size of a request's header in bytes, as HTTP/2 defines it.
func headerSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + fieldBytes
		}
	}
	return n
}
