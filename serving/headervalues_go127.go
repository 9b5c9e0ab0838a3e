//go:build go1.27

package serving

import "net/http"

// anyHeaderValues lets a header have as many values as its size allows: Go 1.27 refuses more than 500 by default, and
// 1,000 groups of --as-group are 1,000 values. MaxHeaderBytes and the budget bound them.
func anyHeaderValues(s *http.Server) {
	s.MaxHeaderValueCount = max(s.MaxHeaderBytes, http.DefaultMaxHeaderBytes)
}
