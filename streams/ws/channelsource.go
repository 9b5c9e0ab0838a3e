package ws

import (
	"errors"
	"io"

	"edge/streams"
)

// channelSource reads a peer's channel messages, one piece after another, and answers the peer's
// pings. The sources of server and client embed it.
type channelSource struct {
	r         *streams.Reader
	rep       streams.Replier
	text      bool                  // true: payloads are base64, in text messages
	halfClose bool                  // true: the peer may send [255, channel] to end a channel
	channels  [channelCount]meaning // meaning of the next message on each channel
	// ports is the number of ports of a port-forward; 0: the channels are those of exec.
	ports     int
	keepMasks bool // true: large Data is not unmasked; see ExecDownstreamSource.KeepMasks

	in      frameParser
	tagged  bool          // true: the channel byte of the current message was read, and the field means is valid
	means   meaning       // meaning of the current message
	decoder base64Decoder // decodes the current message
	// whole is for a message that is passed on only when complete: free bytes, then the part read
	// so far.
	whole []byte
	room  [streams.Headroom]byte
	err   error // error that every further call returns
}

// meaning is what a message on a channel means. A message whose meaning has no kind is ignored.
type meaning struct {
	kind streams.Kind
	role streams.Role
	id   uint32 // ID of the stream
	// most is the maximum size in bytes of a message that is passed on only when complete; 0: the
	// message is a stream's data, passed on in pieces.
	most int
	long error // the protocol error for a message longer than the field most
}

// halfClose is the meaning of a message [255, channel]. Its payload is the channel that ends.
var halfClose = meaning{kind: streams.HalfClose, most: 1, long: violation("half-close of more than one channel")}

// next returns the next frame from the peer: a piece of a stream, a complete message, or a Close.
// Its errors are those of a streams.Source.
func (s *channelSource) next() (streams.Frame, error) {
	for s.err == nil {
		f, err := s.step()
		if err != nil {
			return streams.Frame{}, s.fail(err)
		}
		if f.Kind != 0 {
			return f, nil
		}
	}
	return streams.Frame{}, s.err
}

// fail returns err. If err is a protocol error, fail also stores it, because nothing can be read
// after a protocol error.
func (s *channelSource) fail(err error) error {
	if isViolation(err) {
		s.err = err
	}
	return err
}

// step reads a control frame, or the next piece of a message, from the peer. It returns a frame of
// kind 0 if there is nothing to pass on.
func (s *channelSource) step() (f streams.Frame, err error) {
	if s.in.left == 0 {
		if err := s.begin(); err != nil {
			return f, err
		}
	}
	if s.in.control() {
		return s.control()
	}
	return s.piece()
}

// begin reads the header of the peer's next WebSocket frame.
func (s *channelSource) begin() error {
	b, err := s.r.Need(prefixSize)
	if err != nil {
		if s.in.open != 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	n, err := s.in.prefix(b)
	if err != nil {
		return err
	}
	if b, err = s.need(n); err != nil {
		return err
	}
	s.r.Skip(n)
	return s.in.header(b)
}

// control reads a complete control frame (ping, pong or Close) and answers a ping.
func (s *channelSource) control() (f streams.Frame, err error) {
	b, off, err := s.take(int(s.in.left))
	if err != nil {
		return f, err
	}
	closed, code, err := s.in.answer(s.rep, b, off)
	if closed {
		s.err = io.EOF
		f = s.bare(streams.Close, 0)
		f.Code = uint32(code)
	}
	return f, err
}

// piece reads the next piece of a message: first the channel byte, then as much of the current
// frame as one Data frame may carry.
func (s *channelSource) piece() (f streams.Frame, err error) {
	if !s.tagged && s.in.left > 0 {
		b, off, err := s.take(1)
		if err != nil {
			return f, err
		}
		s.tag(b[off])
	}
	// The frame header states the payload's length, so a binary message that is too long is an error
	// before its payload is read. The length of base64 text is checked after decoding.
	if s.tagged && !s.text {
		if err := s.bound(s.in.left); err != nil {
			return f, err
		}
	}
	n := int(min(s.in.left, streams.MaxData))
	if s.keepMasks && s.tagged && s.means.kind == streams.Data && n >= streams.Small {
		return s.masked(n)
	}
	b, off, err := s.take(n)
	if err != nil || !s.tagged { // not tagged: the frame is empty, and the channel byte has not come
		return f, err
	}
	last := s.in.fin && s.in.left == 0
	s.tagged = !last
	if s.means.kind == 0 {
		return f, nil
	}
	if s.text {
		if b, err = s.decode(b, off, last); err != nil {
			return f, err
		}
	}
	f = streams.Frame{Kind: s.means.kind, Stream: streams.Stream{Role: s.means.role, ID: s.means.id}, Buf: b, Off: off}
	if s.means.most == 0 {
		if len(b) == off {
			return streams.Frame{}, nil
		}
		return f, nil
	}
	if err := s.bound(uint64(len(b) - off)); err != nil {
		return streams.Frame{}, err
	}
	s.whole = append(s.whole, b[off:]...)
	if !last {
		return streams.Frame{}, nil
	}
	f.Buf, f.Off = s.whole, streams.Headroom
	return f, nil
}

// masked consumes n bytes of a stream without unmasking them, and returns them with their masking
// key.
func (s *channelSource) masked(n int) (f streams.Frame, err error) {
	if _, err = s.need(n); err != nil {
		return f, err
	}
	f.Kind, f.Stream = s.means.kind, streams.Stream{Role: s.means.role, ID: s.means.id}
	f.Mask = s.in.pass(n)
	s.r.Skip(n)
	f.Buf, f.Off = s.r.Room(n)
	s.tagged = s.in.left > 0 || !s.in.fin
	return f, nil
}

// tag begins a message: it looks up the meaning of the message's channel byte.
func (s *channelSource) tag(channel byte) {
	if s.text {
		channel -= '0'
	}
	s.tagged, s.means, s.decoder = true, meaning{}, base64Decoder{}
	switch {
	case s.ports > 0:
		s.means = portSays(channel, s.ports)
	case channel < channelCount:
		s.means = s.channels[channel]
	case channel == channelClose && s.halfClose:
		s.means = halfClose
	}
	if s.means.most > 0 {
		s.whole = append(s.whole[:0], s.room[:]...)
	}
}

// bound returns an error if n more bytes would make the current message longer than its limit. It
// returns nil for a message that is passed on in pieces.
func (s *channelSource) bound(n uint64) error {
	if s.means.most > 0 && uint64(len(s.whole)-streams.Headroom)+n > uint64(s.means.most) {
		return s.means.long
	}
	return nil
}

// decode decodes the base64 payload b[off:], in place. The parameter last is true if the message
// ends after this payload.
func (s *channelSource) decode(b []byte, off int, last bool) ([]byte, error) {
	n, err := s.decoder.decode(b[off:])
	if err == nil && last {
		err = s.decoder.end()
	}
	return b[:off+n], err
}

// bare returns a frame without payload. Like any other frame it has free bytes before its payload.
func (s *channelSource) bare(kind streams.Kind, role streams.Role) streams.Frame {
	return streams.Frame{Kind: kind, Stream: streams.Stream{Role: role}, Buf: s.room[:], Off: streams.Headroom}
}

// take consumes n bytes of the current frame's payload. It returns them unmasked, as b[off:], with
// free bytes before them.
func (s *channelSource) take(n int) (b []byte, off int, err error) {
	if n == 0 {
		return s.room[:], streams.Headroom, nil
	}
	if b, err = s.need(n); err != nil {
		return nil, 0, err
	}
	s.in.unmask(b)
	s.r.Skip(n)
	b, off = s.r.Room(n)
	return b, off, nil
}

// need calls the Reader's Need for bytes within a frame, where the end of the connection is an
// unexpected end.
func (s *channelSource) need(n int) ([]byte, error) {
	b, err := s.r.NeedSoon(n)
	if err != nil && errors.Is(err, io.EOF) { // the first comparison saves calls of errors.Is
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// portSays returns the meaning of a client's message on channel in a port-forward with the given
// number of ports.
func portSays(channel byte, ports int) meaning {
	n := int(channel / 2)
	if n >= ports || channel%2 == channelPortError {
		return meaning{}
	}
	data, _ := streams.PortStreams(n)
	return meaning{kind: streams.Data, role: data.Role, id: data.ID}
}
