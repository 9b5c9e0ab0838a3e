package serving

import "net/http"

const (
	// fieldBytes is what HTTP/2 counts for each header line beside its text (RFC 9113, section 6.5.2).
	fieldBytes = 32
	// fewFields is what net/http allows above MaxHeaderBytes for that.
	fewFields = 10
)

// serve is one request, before the handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := Of(r)
	if c.ending() {
		w.Header().Set("Connection", "close") // package http2 makes a GOAWAY of it
	}
	if !c.known.Load() {
		cost := s.budget.begin(c)
		defer s.budget.end(c, cost)
	}
	if r.ProtoMajor == 2 && headerSize(r) > s.maxHeader()+fewFields*fieldBytes {
		headersTooLarge(s.maxHeader()).write(w)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// headerSize is the size of a request's header as HTTP/2 counts.
func headerSize(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + fieldBytes
		}
	}
	return n
}
