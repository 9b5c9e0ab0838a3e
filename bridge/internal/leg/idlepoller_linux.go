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

// maxEvents bounds what one epoll_wait returns; what it leaves, the next one has.
const maxEvents = 128

// IdlePoller waits for all connections of a handler whose sessions are idle, in one goroutine. A goroutine for each
// would keep a stack: 2 KiB if it is lucky, and 4 or 8 where Go has just learned that its stacks are deep.
//
// It is an epoll instance below the runtime's own. The zero value is ready; the instance is made for the first
// connection.
type IdlePoller struct {
	mu     sync.Mutex
	epoll  *os.File
	raw    syscall.RawConn // epoll's
	parked map[uint64]*parkState
	last   uint64 // key in parked; each connection has another one, since file descriptors come back
	closed bool
	done   sync.WaitGroup // the goroutine
}

// parkState is a connection's place in an idlePoller.
type parkState struct {
	mu     sync.Mutex
	poller *IdlePoller // nil: it was in none so far
	key    uint64
	wake   func() // nil: nobody waits
	closed bool
}

// park has wake called once, in a goroutine of its own, when conn can be read, and also when its deadline changes, it is
// closed, or the poller is. Without a poller, or where the kernel refuses, it returns false, and never calls wake.
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
	c.wake = wake // before the kernel knows: an event may come at once
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

// unpark wakes who waits, if anybody does.
func (c *parkState) unpark() {
	c.mu.Lock()
	wake := c.wake
	c.wake = nil
	c.mu.Unlock()
	if wake != nil {
		go wake()
	}
}

// close wakes who waits, and lets nobody wait any more. The kernel forgets a connection that is closed.
func (c *parkState) close() {
	c.mu.Lock()
	c.closed = true
	if c.poller != nil {
		c.poller.leave(c.key)
	}
	c.mu.Unlock()
	c.unpark()
}

// enter gives c a key, and makes the epoll instance if there is none.
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

// open makes the epoll instance, p.mu held.
func (p *IdlePoller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that package os leaves the wait to the runtime
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

// watch asks for one event of conn.
func (p *IdlePoller) watch(op int, conn syscall.RawConn, key uint64) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Fd:     int32(uint32(key)), // the kernel gives these 64 bits back as they are
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

// run wakes those whose connections can be read, until the instance is closed; then all.
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
			if c != nil { // which has not been closed since
				c.unpark()
			}
		}
	}
}

// end wakes all.
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

// Close wakes all who wait, and lets nobody wait here any more.
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
