package leg

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxEvents is the maximum number of events that one epoll_wait returns. The next call returns the
// others.
const maxEvents = 128

// IdlePoller waits for the connections of all idle sessions of a handler, in one goroutine. A
// waiting goroutine for each connection would need a stack of 2 KiB, or of 4 to 8 KiB if Go has
// found that stacks are deep and starts new goroutines with larger ones.
//
// It is an epoll instance that the epoll instance of the Go runtime watches. The zero value is
// ready to use; the first connection creates the instance.
type IdlePoller struct {
	mu     sync.Mutex
	epoll  *os.File
	raw    syscall.RawConn // epoll as a RawConn
	parked map[uint64]*parkState
	// last is the newest key in parked. Keys are not file descriptors, because the kernel reuses
	// those.
	last   uint64
	closed bool
	done   sync.WaitGroup // waits for the goroutine run
}

// parkState is the state of one connection in an IdlePoller.
type parkState struct {
	mu     sync.Mutex
	poller *IdlePoller // nil: the connection was never parked
	key    uint64
	wake   func() // nil: nothing waits
	closed bool
}

// park calls wake once, in its own goroutine, when conn becomes readable, when its deadline
// changes, when conn is closed, or when the poller is closed. If there is no poller or the kernel
// fails, park returns false and never calls wake.
func (c *parkState) park(p *IdlePoller, conn syscall.RawConn, wake func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	isElsewhere := c.poller != nil && c.poller != p
	if p == nil || c.closed || isElsewhere {
		return false
	}
	op := unix.EPOLL_CTL_MOD
	if c.poller == nil {
		op = unix.EPOLL_CTL_ADD
		if !p.enter(c) {
			return false
		}
	}
	c.wake = wake // before the kernel call: an event may arrive at once
	if p.watch(op, conn, c.key) != nil {
		c.wake = nil
		if c.poller == nil {
			p.leave(c.key)
		}
		return false
	}
	c.poller = p
	return true
}

// unpark calls wake if the connection is parked.
func (c *parkState) unpark() {
	c.mu.Lock()
	wake := c.wake
	c.wake = nil
	c.mu.Unlock()
	if wake != nil {
		go wake()
	}
}

// close calls wake if the connection is parked, and prevents later parking. The kernel removes a
// closed connection from the epoll instance by itself.
func (c *parkState) close() {
	c.mu.Lock()
	c.closed = true
	if c.poller != nil {
		c.poller.leave(c.key)
	}
	c.mu.Unlock()
	c.unpark()
}

// enter assigns a key to c. It creates the epoll instance if there is none.
func (p *IdlePoller) enter(c *parkState) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if p.epoll == nil && p.open() != nil {
		return false
	}
	p.last++
	c.key = p.last
	p.parked[c.key] = c
	return true
}

// open creates the epoll instance. The caller holds p.mu.
func (p *IdlePoller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that the Go runtime waits for it
		unix.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return err
	}
	p.epoll, p.raw, p.parked = file, raw, map[uint64]*parkState{}
	p.done.Go(p.run)
	return nil
}

func (p *IdlePoller) leave(key uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.parked, key)
}

// watch requests one event of conn from the kernel.
func (p *IdlePoller) watch(op int, conn syscall.RawConn, key uint64) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Fd:     int32(uint32(key)), // the kernel returns these 64 bits unchanged
		Pad:    int32(uint32(key >> 32)),
	}
	var failed error
	err := conn.Control(func(fd uintptr) {
		of := p.raw.Control(func(epoll uintptr) { failed = unix.EpollCtl(int(epoll), op, int(fd), &event) })
		if of != nil {
			failed = of
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// run wakes the connections that become readable. When the instance is closed, it wakes all.
func (p *IdlePoller) run() {
	defer p.end()
	var events [maxEvents]unix.EpollEvent
	for {
		var n int
		var failed error
		err := p.raw.Read(func(epoll uintptr) bool {
			n, failed = unix.EpollWait(int(epoll), events[:], 0)
			if errors.Is(failed, unix.EINTR) {
				return false
			}
			return n > 0 || failed != nil
		})
		if err != nil || failed != nil {
			return
		}
		for _, event := range events[:n] {
			p.mu.Lock()
			c := p.parked[uint64(uint32(event.Fd))|uint64(uint32(event.Pad))<<32]
			p.mu.Unlock()
			if c != nil { // not closed in the meantime
				c.unpark()
			}
		}
	}
}

// end wakes all connections.
func (p *IdlePoller) end() {
	p.mu.Lock()
	p.closed = true
	parked := slices.Collect(maps.Values(p.parked))
	p.mu.Unlock()
	p.epoll.Close()
	for _, c := range parked {
		c.unpark()
	}
}

// Close wakes all parked connections and prevents later parking.
func (p *IdlePoller) Close() {
	p.mu.Lock()
	p.closed = true
	epoll := p.epoll
	p.mu.Unlock()
	if epoll != nil {
		epoll.Close()
		p.done.Wait()
	}
}
