package leg

import "edge/streams"

// errWouldBlock is streams.ErrWouldBlock as a temporary net.Error, which crypto/tls treats as a
// pause.
var errWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return streams.ErrWouldBlock.Error() }
func (wouldBlock) Unwrap() error   { return streams.ErrWouldBlock }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }
