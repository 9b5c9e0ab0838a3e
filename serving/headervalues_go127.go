//go:build go1.27

package serving

import "net/http"

// anyHeaderValues allows as many header values as the size limit of a header allows. Go 1.27
// refuses more than 500 values by default, and 1,000 groups from --as-group are 1,000 values.
// MaxHeaderBytes and the memory budget still limit the memory.
func anyHeaderValues(s *http.Server) {
	s.MaxHeaderValueCount = max(s.MaxHeaderBytes, http.DefaultMaxHeaderBytes)
}
