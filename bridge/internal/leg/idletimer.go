package leg

import (
	"sync"
	"sync/atomic"
	"time"
)

// An idleTimer notices that a busy leg has become idle. The loop of a leg whose bytes come often waits deep inside TLS, which
// keeps 8 KiB of stack; the timer calls the loop back from there when nothing has come for a while.
type idleTimer struct {
	allowed bool        // the leg's loop can; its reader's own
	running atomic.Bool // the timer runs

	mu     sync.Mutex
	timer  *time.Timer // nil: not busy so far
	read   int64       // the leg's, when it last fired
	closed bool
}

func (u *idleTimer) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if u.timer != nil {
		u.timer.Stop()
	}
}
