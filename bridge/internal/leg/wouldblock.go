package leg

import "edge/streams"

// errWouldBlock is streams.ErrWouldBlock as a temporary net.Error, which crypto/tls treats as a
// pause.
var errWouldBlock error = wouldBlockError{}

type wouldBlockError struct{}

func (wouldBlockError) Error() string   { return streams.ErrWouldBlock.Error() }
func (wouldBlockError) Unwrap() error   { return streams.ErrWouldBlock }
func (wouldBlockError) Timeout() bool   { return false }
func (wouldBlockError) Temporary() bool { return true }
