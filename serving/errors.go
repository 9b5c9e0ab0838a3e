package serving

import "errors"

// Errors that end a TLS handshake.
var (
	errLongHandshake    = errors.New("the client's handshake is longer than 64 KiB")
	errManyCertificates = errors.New("the client sent more than 8 certificates")
)

// errOver ends reads from a connection that edge closes because the memory budget was exhausted.
var errOver = errors.New("serving: the memory budget for headers of unauthenticated clients is exhausted")
