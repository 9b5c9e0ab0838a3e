package session

import "time"

// awaitStreams waits until the SPDY client has opened all its streams. It returns false if the
// client has not done so in time, or when the session ends. If edge itself ends the session (a
// shutdown), awaitStreams still waits up to Linger, because client-go does not read a Status before
// all its streams are accepted.
func (e *execSession) awaitStreams() bool {
	late := time.NewTimer(e.Times.Open)
	defer late.Stop()
	over := (<-chan struct{})(e.done)
	for {
		select {
		case <-e.client.allOpened:
			return true
		case <-over:
			if !isStop(e.cause()) {
				return e.hasAllStreams()
			}
			over = nil
			late.Reset(e.Linger)
			e.readAccepts()
		case <-late.C:
			e.setCause(errNotOpened)
			return false
		}
	}
}

func (e *execSession) hasAllStreams() bool {
	select {
	case <-e.client.allOpened:
		return true
	default:
		return false
	}
}

// awaitAccepted waits until upstream has accepted the streams that edge opened there, so that the
// session does not end earlier. The container runtime accepts a stream with a SYN_REPLY frame,
// which it sends from a queue. If edge closes the connection before the runtime has sent these
// frames, its library github.com/moby/spdystream waits forever, in the first write of the
// container's output, until they are sent. An attach that ended too early would then stop the
// container's output for all clients.
func (e *execSession) awaitAccepted() {
	late := time.NewTimer(time.Until(e.acceptedBy()))
	defer late.Stop()
	select {
	case <-e.upstream.accepted:
	case <-e.outputDone:
	case <-late.C:
	}
}

// acceptedBy returns the time until which awaitAccepted waits for upstream to accept the streams.
func (e *execSession) acceptedBy() time.Time {
	if e.upstream.accepted == nil {
		return e.Started.Add(min(e.Accept, e.Linger))
	}
	return time.Now().Add(e.Linger)
}

// readAccepts reads from upstream until upstream has accepted the streams that edge opened there.
// edge uses it if the session ends before the client has opened its own streams to edge, because
// the output loop does not run yet. The comment of awaitAccepted says why edge waits.
func (e *execSession) readAccepts() {
	e.up.Conn.SetReadDeadline(e.acceptedBy())
	for {
		select {
		case <-e.upstream.accepted:
			return
		default:
		}
		if _, err := e.output.src.Next(); err != nil {
			return
		}
	}
}
