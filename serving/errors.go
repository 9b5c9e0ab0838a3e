package serving

import "errors"

// These end a handshake.
var (
	errLongHandshake    = errors.New("the client's handshake is longer than 64 KiB")
	errManyCertificates = errors.New("the client sent more than 8 certificates")
)

// errOver ends what a connection reads after the budget for unknown ones was used up.
var errOver = errors.New("serving: the budget for headers of unknown clients is used up")
