package bridge

import (
	"edge/streams"
	"edge/streams/spdy"
)

// channels is a port-forward over WebSocket channels: all its connections are
// there from the start, none can be said to have ended, and when all have ended
// the session has. It is the closer of its dialect.
type channels struct {
	sink  streams.Sink
	table *spdy.Table // the streams of its connections

	closed bool // by the client
	code   uint32
}

// fromClient keeps the client's Close to itself.
func (c *channels) fromClient(f *streams.Frame) (forward bool, err error) {
	if f.Kind == streams.Close {
		c.closed, c.code = true, f.Code
		return false, nil
	}
	return true, nil
}

// toClient looks for the end of the last connection.
func (c *channels) toClient(f *streams.Frame) (forward bool, err error) {
	if f.Kind != streams.HalfClose && f.Kind != streams.Reset {
		return true, nil
	}
	if c.table.Len() == 0 {
		return false, errCompleted
	}
	return false, nil
}

// Closed implements closer.
func (c *channels) Closed() (code int, ok bool) { return int(c.code), c.closed }

// WriteClose implements closer.
func (c *channels) WriteClose(code int) error {
	return c.sink.Write(streams.Frame{Kind: streams.Close, Code: uint32(code)})
}

var _ closer = (*channels)(nil)
