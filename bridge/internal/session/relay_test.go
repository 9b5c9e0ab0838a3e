package session

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/bridge/internal/leg"
	"edge/streams"
	"edge/streams/ws"
)

// waits is a source of frames for a test. A frame without a Kind stands for a wait: Next does not
// return it. Before each frame, Next calls the function look, whose argument is true for a wait.
type waits struct {
	frames []streams.Frame
	look   func(waits bool)
}

func (s *waits) Next() (f streams.Frame, err error) {
	for f.Kind == 0 {
		if len(s.frames) == 0 {
			return f, io.EOF
		}
		f, s.frames = s.frames[0], s.frames[1:]
		s.look(f.Kind == 0)
	}
	return f, nil
}

// TestLoopKeepsBack checks that a relay loop combines what it writes between two waits for frames.
// It must hold nothing back while it waits, when the peer sends a Close, and when the loop ends.
func TestLoopKeepsBack(t *testing.T) {
	conn, peer := connected(t)
	arrived := func(n int) {
		t.Helper()
		peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(peer, make([]byte, n)); err != nil {
			t.Fatalf("of %d bytes: %v", n, err)
		}
	}
	data := func(size int) streams.Frame {
		return streams.Frame{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdout}, Buf: make([]byte, streams.Headroom+size), Off: streams.Headroom}
	}
	const large, small = streams.MaxData, 1
	// of32K is the size on the wire of a frame with 32 KiB of data: the channel byte, the WebSocket
	// header (4 bytes) and the data. of1 is the size without data of a frame with 1 byte of data:
	// the channel byte and the WebSocket header (2 bytes).
	const of32K, of1 = 1 + 4 + large, 1 + 2
	l := leg.New(conn, nil, nil)
	d := direction{sink: ws.NewExecDownstreamSink(l.RelayWriter(), ws.V5Channel), coalescing: l}
	said := 0
	src := &waits{frames: []streams.Frame{
		data(large), data(small), {}, {}, data(small), {}, data(large), data(large), {Kind: streams.Close}, data(large),
	}}
	src.look = func(waits bool) {
		if waits {
			d.flush()
			arrived(said)
			said = 0
		} else if n := unread(t, peer); n > 0 {
			t.Errorf("%d bytes have left before the loop waits", n)
		}
	}
	d.src = src
	err := d.run(func(f *streams.Frame) (bool, error) {
		switch {
		case f.Kind == streams.Close:
			arrived(said)
			said = 0
		case len(f.Payload()) == large:
			said += of32K
		default:
			said += of1 + small
		}
		return f.Kind == streams.Data, nil
	})
	if err != io.EOF || d.writeErr != nil {
		t.Fatal(err, d.writeErr)
	}
	arrived(said)
}

// unread returns how many received bytes of conn have not been read.
func unread(t *testing.T, conn *net.TCPConn) (n int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// connected returns both ends of a TCP connection; the first is edge's.
func connected(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); peer.Close() })
	return leg.Pollable(conn), peer.(*net.TCPConn)
}
