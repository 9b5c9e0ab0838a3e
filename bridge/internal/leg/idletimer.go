package leg

import (
	"sync"
	"sync/atomic"
	"time"
)

// An idleTimer detects that a busy leg, on which bytes arrived often, has become idle. The relay
// loop of a busy leg waits for bytes deep inside TLS, which keeps 8 KiB of stack in use. If nothing
// has arrived for a while, the timer interrupts that wait, and the leg waits without that stack.
type idleTimer struct {
	// allowed is true if the leg's loop can handle a Read that the timer interrupts. Only the leg's
	// reader uses it.
	allowed bool
	running atomic.Bool // true: the timer runs

	mu     sync.Mutex
	timer  *time.Timer // nil: the leg was never busy
	read   int64       // bytes that the leg had read when the timer was started or last fired
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
