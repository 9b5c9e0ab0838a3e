package leg

import (
	"time"

	"edge/streams"
)

// readModerator delays reads when many small segments arrive, like the interrupt moderation of
// network cards. Without a delay, each segment of a peer that sends many small pieces would wake a
// goroutine. readModerator counts waits in a row that returned few bytes while nothing was written
// to the peer. A peer that waits for an answer is therefore never delayed.
type readModerator struct {
	inRow   int
	written int64 // number of bytes written to the peer (Leg.out) at the last counted wait
}

const (
	shortWait  = time.Millisecond
	manyShort  = 16                     // after so many short waits for bytes, reads are delayed
	moderation = 200 * time.Microsecond // delay of a read; the kernel may extend it to 1 ms
)

// noteWait records a wait of duration d that returned n bytes. The parameter said is the number of
// bytes written to the peer so far. noteWait returns true if the next read should be delayed.
func (h *readModerator) noteWait(d time.Duration, n int, said int64) bool {
	switch {
	case n >= streams.Small || said != h.written:
		h.inRow, h.written = 0, said
	case d >= shortWait:
		h.inRow /= 2
	case h.inRow < manyShort:
		h.inRow++
	default:
		return true
	}
	return false
}
