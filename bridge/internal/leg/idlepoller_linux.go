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

// maxEvents is the maximum number of readable connections that one call of epoll_wait returns. The
// next call returns the remaining ones.
const maxEvents = 128

// IdlePoller waits until bytes arrive on the connection of an idle session. One goroutine does this
// for all idle sessions of a handler. A waiting goroutine for each connection would need a stack of
// 2 KiB. If many goroutines of the process use deep stacks, the Go runtime starts even new
// goroutines with stacks of 4 to 8 KiB.
//
// An IdlePoller has an epoll instance of its own, which contains the connections. The goroutine
// waits for events of that instance as it would wait for a socket: the Go runtime watches the
// instance's file descriptor. The zero value is ready to use; the first connection creates the
// instance.
type IdlePoller struct {
	mu     sync.Mutex
	epoll  *os.File
	raw    syscall.RawConn // gives access to the file epoll; raw.Read waits for its events
	parked map[uint64]*parkState
	// last is the newest key in the map of the field parked. File descriptors are not used as keys,
	// because the kernel reuses their numbers.
	last   uint64
	closed bool
	done   sync.WaitGroup // used to wait until the goroutine of the method run has ended
}

// parkState records whether one connection is parked: whether an IdlePoller waits for its bytes.
type parkState struct {
	mu     sync.Mutex
	poller *IdlePoller // the IdlePoller that last waited for bytes; nil: none yet
	key    uint64
	wake   func() // called when bytes arrive; nil: the connection is not parked
	closed bool
}

// park calls the function wake once, on a goroutine of its own, when conn becomes readable, when
// conn's deadline changes, when conn is closed, or when the IdlePoller is closed. If there is no
// IdlePoller or the kernel fails, park returns false and never calls wake.
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
	c.wake = wake // set before the system call, because an event may arrive at once
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

// unpark calls the function wake if the connection is parked.
func (c *parkState) unpark() {
	c.mu.Lock()
	wake := c.wake
	c.wake = nil
	c.mu.Unlock()
	if wake != nil {
		go wake()
	}
}

// close calls the function wake if the connection is parked. Later calls of park return false. The
// kernel removes a closed connection from the epoll instance by itself.
func (c *parkState) close() {
	c.mu.Lock()
	c.closed = true
	if c.poller != nil {
		c.poller.leave(c.key)
	}
	c.mu.Unlock()
	c.unpark()
}

// enter stores c in p.parked under a new key. It creates the epoll instance if there is none.
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
	// os.NewFile lets the Go runtime wait for a file descriptor only if it is non-blocking.
	if err := unix.SetNonblock(fd, true); err != nil {
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

// watch requests that the kernel reports once that conn is readable, with the given key.
func (p *IdlePoller) watch(op int, conn syscall.RawConn, key uint64) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Fd:     int32(uint32(key)), // Fd and Pad hold the key; the kernel returns them unchanged
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

// run calls the function wake of each parked connection that becomes readable. When the epoll
// instance is closed, it calls the function wake of all parked connections.
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
			if c != nil { // else the connection was closed in the meantime
				c.unpark()
			}
		}
	}
}

// end calls the function wake of all parked connections (those whose bytes p waits for).
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

// Close calls the function wake of all parked connections (those whose bytes p waits for). Later
// calls of park return false.
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
