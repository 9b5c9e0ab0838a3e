package session

import "time"

// awaitStreams waits until the SPDY client has opened its streams. client-go
// does not hear a thing before they are all accepted, so a shutdown waits too.
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

// openTime is how long a session with a WebSocket upstream lasts at least. The API
// server opens the runtime's streams after its 101, and does not tell when; on a busy machine
// that took more than a second.
const openTime = 5 * time.Second

// awaitAccepted lets upstream answer the opens of its streams before the session's
// end reaches it. The container runtime sends those answers from a queue, and
// github.com/moby/spdystream waits for them without end, in the first write of what
// the container says, if the connection was closed before: an attach that was cut
// would stop the container's output for everybody.
func (e *execSession) awaitAccepted() {
	late := time.NewTimer(time.Until(e.acceptedBy()))
	defer late.Stop()
	select {
	case <-e.upstream.accepted:
	case <-e.outputDone:
	case <-late.C:
	}
}

// acceptedBy is until when to wait for it.
func (e *execSession) acceptedBy() time.Time {
	if e.upstream.accepted == nil {
		return e.Started.Add(min(openTime, e.Linger))
	}
	return time.Now().Add(e.Linger)
}

// readAccepts is awaitAccepted on the output loop, where the client has gone before
// there was anything to relay.
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
