package ws

import (
	"errors"
	"io"

	"edge/streams"
)

// Tunnel carries another protocol's bytes in binary messages, whose boundaries
// mean nothing: what comes in is an io.Reader, what goes out a streams.Writer.
type Tunnel struct {
	conn io.Reader
	try  streams.Trier // conn, if it is one
	rep  streams.Replier
	out  messageWriter

	trying bool // the Read at hand is a TryRead
	again  bool // what it was asked with

	in   frameParser
	err  error // what every further Read returns
	code int   // of the peer's Close
	done bool  // the peer sent a Close

	// small holds a header, or a control frame's payload with room for the
	// header of its answer.
	small [controlRoom + maxControl]byte
	have  int // bytes of what small is to hold
}

// NewTunnel is a server's: it reads a client's frames from conn, which should be
// buffered (a tls.Conn is), beginning after the handshake, and writes to w.
// Answers to pings go to rep.
func NewTunnel(conn io.Reader, rep streams.Replier, w streams.Writer) *Tunnel {
	return newTunnel(conn, rep, w, server)
}

// NewClientTunnel is NewTunnel for a client: it reads a server's frames.
func NewClientTunnel(conn io.Reader, rep streams.Replier, w streams.Writer) *Tunnel {
	return newTunnel(conn, rep, w, client)
}

func newTunnel(conn io.Reader, rep streams.Replier, w streams.Writer, s side) *Tunnel {
	t := &Tunnel{conn: conn, rep: rep, out: messageWriter{w: w, side: s}, in: frameParser{side: s}}
	t.try, _ = conn.(streams.Trier)
	return t
}

// Read returns tunnelled bytes, read straight into p. It returns io.EOF after
// the peer's Close, whatever its code (see Closed); io.ErrUnexpectedEOF if
// the connection ended without one; a *streams.ProtocolError if the peer
// broke the rules; otherwise the connection's error, after which Read may be
// called again. Like conn it may return 0, nil. Not safe for concurrent use.
func (t *Tunnel) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.read(p)
	if err == nil {
		return n, nil
	}
	if !t.done && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if t.done || isViolation(err) {
		t.err = err
	}
	return n, err
}

// TryRead implements streams.Trier, as far as conn does.
func (t *Tunnel) TryRead(p []byte, again bool) (int, error) {
	if t.try == nil {
		return 0, streams.ErrWouldBlock
	}
	t.trying, t.again = true, again
	n, err := t.Read(p)
	t.trying = false
	return n, err
}

// below reads from conn, without waiting if that was asked.
func (t *Tunnel) below(b []byte) (int, error) {
	if t.trying {
		return t.try.TryRead(b, t.again)
	}
	return t.conn.Read(b)
}

// Closed returns the code of the peer's Close (0: it had none), and whether
// there was one.
func (t *Tunnel) Closed() (code int, ok bool) { return t.code, t.done }

// WriteRoom implements streams.Writer: b[off:] becomes one binary message, with
// the header in the room before it; a client masks b[off:] where it is. Without
// bytes it writes nothing.
func (t *Tunnel) WriteRoom(b []byte, off int) error {
	if len(b) == off {
		return nil
	}
	return t.out.WriteRoom(b, off)
}

// WriteClose sends a Close. The caller writes nothing after it.
func (t *Tunnel) WriteClose(code int) error {
	return t.out.w.WriteRoom(t.out.side.appendClose(nil, code, ""), 0)
}

func (t *Tunnel) read(p []byte) (int, error) {
	for len(p) > 0 {
		if t.in.left == 0 {
			if ok, err := t.begin(); !ok || err != nil {
				return 0, err
			}
		}
		if t.in.control() {
			if ok, err := t.control(); !ok || err != nil {
				return 0, err
			}
			continue
		}
		if t.in.left == 0 {
			continue
		}
		n, err := t.below(p[:min(uint64(len(p)), t.in.left)])
		t.in.unmask(p[:n])
		if n > 0 {
			err = nil // it comes again
		}
		return n, err
	}
	return 0, nil
}

// begin reads the next frame's header, exactly.
func (t *Tunnel) begin() (ok bool, err error) {
	if ok, err := t.fill(prefixSize); !ok {
		return false, err
	}
	n, err := t.in.prefix(t.small[:prefixSize])
	if err != nil {
		return false, err
	}
	if ok, err := t.fill(n); !ok {
		return false, err
	}
	t.have = 0
	if err := t.in.header(t.small[:n]); err != nil {
		return false, err
	}
	if !t.in.control() && t.in.op != opBinary {
		return false, streams.Violation(streams.CloseUnsupported, "text message in a tunnel")
	}
	return true, nil
}

// control takes a control frame, whole.
func (t *Tunnel) control() (ok bool, err error) {
	end := controlRoom + int(t.in.left)
	if t.have == 0 {
		t.have = controlRoom
	}
	if ok, err := t.fill(end); !ok {
		return false, err
	}
	t.have = 0
	t.in.unmask(t.small[controlRoom:end])
	closed, code, err := t.in.answer(t.rep, t.small[:end], controlRoom)
	if closed {
		t.done, t.code, err = true, code, io.EOF
	}
	return err == nil, err
}

// fill reads until small holds n bytes; ok tells whether it does. Without an
// error, not ok means that conn had nothing to give.
func (t *Tunnel) fill(n int) (ok bool, err error) {
	for t.have < n {
		got, err := t.below(t.small[t.have:n])
		t.have += got
		if got == 0 {
			return false, err
		}
	}
	return true, nil
}
