package leg

import "edge/streams"

// errWouldBlock is streams.ErrWouldBlock in the form that crypto/tls takes for a
// pause: a temporary net.Error.
var errWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return streams.ErrWouldBlock.Error() }
func (wouldBlock) Unwrap() error   { return streams.ErrWouldBlock }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }
