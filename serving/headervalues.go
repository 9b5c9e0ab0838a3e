//go:build !go1.27

package serving

import "net/http"

// anyHeaderValues does nothing: before Go 1.27 there is no limit on the number of header values.
func anyHeaderValues(*http.Server) {}
