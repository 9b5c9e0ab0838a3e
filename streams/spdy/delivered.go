package spdy

const (
	// mobyWorkers is the number of goroutines to which moby/spdystream distributes frames (its
	// FRAME_WORKERS): frames of streams by the stream ID, pings in turn. Every container runtime
	// uses moby/spdystream. Each of the goroutines handles its frames in order, and keeps a data
	// frame until the reader of the stream has taken it.
	mobyWorkers = 5
	// deliveredPing is the ID of the pings that AskDelivered sends, odd because a client sends
	// them. The IDs of keepalive pings count from 1 and never reach this ID.
	deliveredPing = 1<<31 - 1
)

// AskDelivered asks the server to report when its readers have taken all data that was written
// before. This matters at the end of a session over SPDY: the server resets its streams and drops
// data that its readers have not taken yet. Over WebSocket channels the server handles a Close only
// after the data before it.
//
// The request is one ping for each goroutine that handles frames in the server (mobyWorkers). The
// caller must write no other ping among these pings, because one of the goroutines would then get
// the other ping instead.
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

// OnDelivered makes Next call f once, when the server has answered all pings that AskDelivered
// sent.
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
