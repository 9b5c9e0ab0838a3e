package leg

import (
	"time"

	"edge/streams"
)

// readModerator counts waits for a few bytes in a row, with nothing said to the peer in
// between. A peer that dribbles costs a wake-up for every piece; so, as network
// cards do, the reader then lets the pieces of a moment come together. Whoever
// waits for an answer never gets here: it was told something.
type readModerator struct {
	inRow   int
	written int64 // leg.out at the last of them
}

const (
	shortWait  = time.Millisecond
	manyShort  = 16                     // waits in a row
	moderation = 200 * time.Microsecond // the kernel may make it 1 ms
)

// noteWait takes note of a wait of d that gave n bytes, and tells whether the next
// bytes had better come together.
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
