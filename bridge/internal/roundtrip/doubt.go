package roundtrip

import (
	"sync/atomic"
	"time"
)

// A Doubt is about the way to the API server, and shared by all that take it. Mostly it is not one connection that dies, but
// what they all go through: when a PING is late on one, the others that were silent as long take nothing new, until they
// have been heard. Without that a request would wait for one dead connection after the other, and one that has to be
// reviewed first for a dead connection each time. The zero value is ready.
type Doubt struct{ at atomic.Int64 } // when a PING was last late, in Unix ns; 0: never

func (d *Doubt) late() { d.at.Store(time.Now().UnixNano()) }

// Since is when something must have been heard on a connection that may take something new. It is zero without a doubt.
func (d *Doubt) Since() time.Time {
	at := d.at.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).Add(-answerWait - pongLate)
}
