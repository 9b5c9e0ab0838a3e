package ws

import (
	"io"

	"edge/streams"
)

// messages reads what a peer says on channels, one piece after another, and
// answers its control frames.
type messages struct {
	r         *streams.Reader
	rep       streams.Replier
	text      bool                  // payload is base64
	halfClose bool                  // the peer may say [255, channel]
	channels  [channelCount]meaning // what the peer says on each, from now on
	ports     int                   // of port-forward, which has other channels
	keepMasks bool                  // see ExecServerSource.KeepMasks

	in      inbound
	tagged  bool          // the message's channel byte was read; means is valid
	means   meaning       // of the message at hand
	decoder base64Decoder // of the message at hand
	whole   []byte        // room, and as much of a whole message as came
	room    [streams.Headroom]byte
	err     error // what every further call returns
}

// meaning is what a message says. Nobody listens to one without a kind.
type meaning struct {
	kind streams.Kind
	role streams.Role
	id   uint32 // of the stream
	most int    // bytes of a message that means nothing in parts; 0: it is a stream's
	long error  // the breach of more than most
}

// halfClose is what [255, channel] means; the channel is its payload.
var halfClose = meaning{kind: streams.HalfClose, most: 1, long: violation("half-close of more than one channel")}

// next returns what the peer says: pieces of streams, whole messages, and its
// Close. Errors are those of a streams.Source.
func (m *messages) next() (streams.Frame, error) {
	for m.err == nil {
		f, err := m.step()
		if err != nil {
			return streams.Frame{}, m.fail(err)
		}
		if f.Kind != 0 {
			return f, nil
		}
	}
	return streams.Frame{}, m.err
}

// fail remembers an error after which nothing can be read.
func (m *messages) fail(err error) error {
	if isViolation(err) {
		m.err = err
	}
	return err
}

// step reads a control frame, or the next piece of a message. It may give no
// frame.
func (m *messages) step() (f streams.Frame, err error) {
	if m.in.left == 0 {
		if err := m.begin(); err != nil {
			return f, err
		}
	}
	if m.in.control() {
		return m.control()
	}
	return m.piece()
}

// begin reads the next frame's header.
func (m *messages) begin() error {
	b, err := m.r.Need(prefixSize)
	if err != nil {
		if err == io.EOF && m.in.open != 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	n, err := m.in.prefix(b)
	if err != nil {
		return err
	}
	if b, err = m.need(n); err != nil {
		return err
	}
	m.r.Skip(n)
	return m.in.header(b)
}

// control takes a control frame, whole.
func (m *messages) control() (f streams.Frame, err error) {
	b, off, err := m.take(int(m.in.left))
	if err != nil {
		return f, err
	}
	closed, code, err := m.in.answer(m.rep, b, off)
	if closed {
		m.err = io.EOF
		f = m.bare(streams.Close, 0)
		f.Code = uint32(code)
	}
	return f, err
}

// piece takes the next piece of a message: its channel byte, then as much of
// the frame at hand as one Data may carry.
func (m *messages) piece() (f streams.Frame, err error) {
	if !m.tagged && m.in.left > 0 {
		b, off, err := m.take(1)
		if err != nil {
			return f, err
		}
		m.tag(b[off])
	}
	if m.tagged && !m.text { // as soon as it is known to be too long
		if err := m.bound(m.in.left); err != nil {
			return f, err
		}
	}
	n := int(min(m.in.left, streams.MaxData))
	if m.keepMasks && m.tagged && m.means.kind == streams.Data && n >= streams.Small {
		return m.masked(n)
	}
	b, off, err := m.take(n)
	if err != nil || !m.tagged { // no channel byte: an empty message or fragment
		return f, err
	}
	last := m.in.fin && m.in.left == 0
	m.tagged = !last
	if m.means.kind == 0 {
		return f, nil
	}
	if m.text {
		if b, err = m.decode(b, off, last); err != nil {
			return f, err
		}
	}
	f = streams.Frame{Kind: m.means.kind, Stream: streams.Stream{Role: m.means.role, ID: m.means.id}, Buf: b, Off: off}
	if m.means.most == 0 {
		if len(b) == off {
			return streams.Frame{}, nil
		}
		return f, nil
	}
	if err := m.bound(uint64(len(b) - off)); err != nil {
		return streams.Frame{}, err
	}
	m.whole = append(m.whole, b[off:]...)
	if !last {
		return streams.Frame{}, nil
	}
	f.Buf, f.Off = m.whole, streams.Headroom
	return f, nil
}

// masked takes n bytes of a stream as they came.
func (m *messages) masked(n int) (f streams.Frame, err error) {
	if _, err = m.need(n); err != nil {
		return f, err
	}
	f.Kind, f.Stream = m.means.kind, streams.Stream{Role: m.means.role, ID: m.means.id}
	f.Mask = m.in.pass(n)
	m.r.Skip(n)
	f.Buf, f.Off = m.r.Room(n)
	m.tagged = m.in.left > 0 || !m.in.fin
	return f, nil
}

// tag begins a message with its channel byte.
func (m *messages) tag(channel byte) {
	if m.text {
		channel -= '0'
	}
	m.tagged, m.means, m.decoder = true, meaning{}, base64Decoder{}
	switch {
	case m.ports > 0:
		m.means = portSays(channel, m.ports)
	case channel < channelCount:
		m.means = m.channels[channel]
	case channel == channelClose && m.halfClose:
		m.means = halfClose
	}
	if m.means.most > 0 {
		m.whole = append(m.whole[:0], m.room[:]...)
	}
}

// bound tells whether n more bytes are too many for a whole message.
func (m *messages) bound(n uint64) error {
	if m.means.most > 0 && uint64(len(m.whole)-streams.Headroom)+n > uint64(m.means.most) {
		return m.means.long
	}
	return nil
}

// decode puts in place of b[off:] what it says in base64.
func (m *messages) decode(b []byte, off int, last bool) ([]byte, error) {
	n, err := m.decoder.decode(b[off:])
	if err == nil && last {
		err = m.decoder.end()
	}
	return b[:off+n], err
}

// bare is a frame without payload; it has room like any other.
func (m *messages) bare(kind streams.Kind, role streams.Role) streams.Frame {
	return streams.Frame{Kind: kind, Stream: streams.Stream{Role: role}, Buf: m.room[:], Off: streams.Headroom}
}

// take consumes n bytes of payload and returns them, unmasked, with the room
// before them.
func (m *messages) take(n int) (b []byte, off int, err error) {
	if n == 0 {
		return m.room[:], streams.Headroom, nil
	}
	if b, err = m.need(n); err != nil {
		return nil, 0, err
	}
	m.in.unmask(b)
	m.r.Skip(n)
	b, off = m.r.Room(n)
	return b, off, nil
}

// need is the reader's Need within a frame.
func (m *messages) need(n int) ([]byte, error) {
	b, err := m.r.NeedSoon(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
