//go:build !go1.27

package serving

import "net/http"

// anyHeaderValues is nothing before Go 1.27, which counts no values.
func anyHeaderValues(*http.Server) {}
