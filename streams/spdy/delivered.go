package spdy

const (
	// mobyWorkers are the goroutines among which moby/spdystream, which every container runtime has, divides frames: streams by
	// their ids, pings in turn (its FRAME_WORKERS). Each takes its frames in order, a data frame until its reader has it.
	mobyWorkers = 5
	// deliveredPing is the id of AskDelivered's pings, odd as a client's are. Keepalives count from 1 and do not come so far.
	deliveredPing = 1<<31 - 1
)

// AskDelivered asks the server to say when its readers have all that was written so far. A server that is told of the session's
// end resets its streams, and drops data that it has read from the connection and its reader has not taken yet; over WebSocket
// channels it takes a Close only after the data before it.
//
// The question is one ping for each worker. Write it in one go: a ping of somebody else between them has a worker's turn.
func (s *PortsSink) AskDelivered() error {
	const one = headLen + pingLen
	b, err := s.relay.batch.Grow(mobyWorkers * one)
	if err != nil {
		return err
	}
	b = b[:0]
	for range mobyWorkers {
		b = AppendPing(b, deliveredPing)
	}
	return nil
}

// OnDelivered has f called by Next, once, when the server has answered AskDelivered.
func (s *PortsSource) OnDelivered(f func()) {
	answers := 0
	s.relay.pong = func(id uint32) {
		if id != deliveredPing {
			return
		}
		if answers++; answers == mobyWorkers {
			f()
		}
	}
}
