package ws

import (
	"errors"
	"io"

	"edge/streams"
)

// Tunnel carries the bytes of another protocol (SPDY) in binary WebSocket messages, whose
// boundaries have no meaning. It is an io.Reader for the bytes received and a streams.Writer for
// the bytes to send.
type Tunnel struct {
	conn io.Reader
	try  streams.Trier // the field conn, if it implements Trier; otherwise nil
	rep  streams.Replier
	out  messageWriter

	trying bool // true: the current Read is a TryRead
	again  bool // the argument again of the current TryRead

	in   frameParser
	err  error // error that every further call of Read returns
	code int   // code of the peer's Close; 0: none
	done bool  // true: the peer has sent a Close

	// small holds the bytes of a frame header, or the payload of a control frame after free bytes
	// for the header of the answer.
	small [controlRoom + maxControl]byte
	have  int // number of bytes in the field small that are filled
}

// NewTunnel returns the server side of a tunnel, after the WebSocket handshake. It reads a client's
// frames from conn and writes to w. conn should be buffered, as a tls.Conn is. The tunnel sends
// answers to pings to rep.
func NewTunnel(conn io.Reader, rep streams.Replier, w streams.Writer) *Tunnel {
	return newTunnel(conn, rep, w, server)
}

// NewClientTunnel returns the client side of a tunnel, which reads a server's frames. See
// NewTunnel.
func NewClientTunnel(conn io.Reader, rep streams.Replier, w streams.Writer) *Tunnel {
	return newTunnel(conn, rep, w, client)
}

func newTunnel(conn io.Reader, rep streams.Replier, w streams.Writer, s side) *Tunnel {
	t := &Tunnel{conn: conn, rep: rep, out: messageWriter{w: w, side: s}, in: frameParser{side: s}}
	t.try, _ = conn.(streams.Trier)
	return t
}

// Read returns tunneled bytes, which it reads directly into p. It returns io.EOF after the peer's
// Close, whatever the Close's code (see Closed). It returns io.ErrUnexpectedEOF if the connection
// ended without a Close, and a *streams.ProtocolError if the peer violated the protocol. After any
// other error of the connection, Read may be called again. Like the reader conn, Read may return 0,
// nil. Not safe for concurrent use.
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

// TryRead implements streams.Trier. If the tunnel's reader conn is not a Trier, TryRead returns
// streams.ErrWouldBlock.
func (t *Tunnel) TryRead(p []byte, again bool) (int, error) {
	if t.try == nil {
		return 0, streams.ErrWouldBlock
	}
	t.trying, t.again = true, again
	n, err := t.Read(p)
	t.trying = false
	return n, err
}

// below reads from the connection under the tunnel into b. During a TryRead it does not wait.
func (t *Tunnel) below(b []byte) (int, error) {
	if t.trying {
		return t.try.TryRead(b, t.again)
	}
	return t.conn.Read(b)
}

// Closed returns the code of the peer's Close (0: none), and whether the peer sent a Close.
func (t *Tunnel) Closed() (code int, ok bool) { return t.code, t.done }

// WriteRoom implements streams.Writer. It writes b[off:] as one binary message, with the header in
// the free bytes before b[off:]. The client side masks b[off:] in place. WriteRoom writes nothing
// if b[off:] is empty.
func (t *Tunnel) WriteRoom(b []byte, off int) error {
	if len(b) == off {
		return nil
	}
	return t.out.WriteRoom(b, off)
}

// WriteClose sends a Close with the code. The caller must not write after it.
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
			// Return the bytes without the error: the next Read of the connection returns it again.
			err = nil
		}
		return n, err
	}
	return 0, nil
}

// begin reads the header of the peer's next WebSocket frame, and not one byte more.
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

// control reads a complete control frame (ping, pong or Close) and answers a ping.
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

// fill reads from conn until the buffer small holds n bytes. ok is false if the read fails or
// returns no bytes; in the second case err is nil.
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
