package ws

import (
	"encoding/json"
	"io"

	"edge/streams"
)

// ExecSource reads what a client of exec or attach sends: stdin, terminal
// sizes, half-closes and the Close. See the package doc for what it ignores.
type ExecSource struct {
	r         *streams.Reader
	rep       streams.Replier
	halfClose bool // [255, channel] ends a channel

	in      inbound
	tagged  bool               // the message's channel byte was read
	channel byte               // valid while tagged
	ended   [channelCount]bool // channels that the client half-closed
	err     error              // what every further call returns

	// whole collects a message that means nothing in parts, with room before.
	whole [streams.Headroom + streams.MaxResize]byte
	size  int // bytes of it
}

// NewExecSource reads a client's frames from r, beginning after the handshake.
// Answers to pings go to rep. Who made r closes it.
func NewExecSource(r *streams.Reader, rep streams.Replier, d Dialect) *ExecSource {
	return &ExecSource{r: r, rep: rep, halfClose: dialects[d].halfClose}
}

// Next implements streams.Source. After a Close it returns io.EOF, after a
// *streams.ProtocolError the same again. An EOF within a fragmented message is
// unexpected. After a connection's error (a deadline, say) it may be called again.
func (s *ExecSource) Next() (streams.Frame, error) {
	if s.err != nil {
		return streams.Frame{}, s.err
	}
	f, err := s.next()
	if err != nil && isViolation(err) {
		s.err = err
	}
	return f, err
}

func (s *ExecSource) next() (streams.Frame, error) {
	for {
		if s.in.left == 0 {
			if err := s.begin(); err != nil {
				return streams.Frame{}, err
			}
		}
		var f streams.Frame
		var ok bool
		var err error
		if s.in.control() {
			f, ok, err = s.control()
		} else {
			f, ok, err = s.message()
		}
		if ok || err != nil {
			return f, err
		}
	}
}

// begin reads the next frame's header.
func (s *ExecSource) begin() error {
	b, err := s.r.Need(prefixSize)
	if err != nil {
		if err == io.EOF && s.in.open != 0 {
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

// control takes a control frame, whole.
func (s *ExecSource) control() (f streams.Frame, ok bool, err error) {
	n := int(s.in.left)
	if err := s.take(n); err != nil {
		return f, false, err
	}
	b, off := s.r.Room(n)
	closed, code, err := answer(s.rep, s.in.op, b, off)
	if !closed {
		return f, false, err
	}
	s.err = io.EOF
	f = s.bare(streams.Close, 0)
	f.Code = uint32(code)
	return f, true, nil
}

// message takes the next piece of a message: its channel byte, then as much of
// the frame at hand as one Data may carry.
func (s *ExecSource) message() (f streams.Frame, ok bool, err error) {
	if !s.tagged && s.in.left > 0 {
		if err := s.take(1); err != nil {
			return f, false, err
		}
		b, off := s.r.Room(1)
		s.tagged, s.channel, s.size = true, b[off], 0
	}
	if err := s.bound(); err != nil {
		return f, false, err
	}
	n := int(min(s.in.left, streams.MaxData))
	if err := s.take(n); err != nil {
		return f, false, err
	}
	b, off := s.r.Room(n)
	last := s.in.fin && s.in.left == 0
	if !s.tagged { // an empty message or fragment
		return f, false, nil
	}
	s.tagged = !last
	switch {
	case s.channel == channelStdin:
		f = streams.Frame{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Buf: b, Off: off}
		return f, n > 0 && !s.ended[channelStdin], nil
	case s.channel == channelResize:
		s.keep(b[off:])
		return s.resize(last)
	case s.channel == channelClose && s.halfClose:
		s.keep(b[off:])
		return s.end(last)
	}
	return f, false, nil // nobody listens there
}

// bound refuses a whole message as soon as it is known to be too long.
func (s *ExecSource) bound() error {
	if !s.tagged {
		return nil
	}
	switch n := uint64(s.size) + s.in.left; {
	case s.channel == channelResize && n > streams.MaxResize:
		return streams.Violation(streams.CloseTooBig, "terminal size of more than %d bytes", streams.MaxResize)
	case s.channel == channelClose && s.halfClose && n > 1:
		return violation("half-close of more than one channel")
	}
	return nil
}

func (s *ExecSource) keep(b []byte) {
	s.size += copy(s.whole[streams.Headroom+s.size:], b)
}

// resize yields a terminal size. One that the API server could not read is
// dropped; there it would be the last that is heeded.
func (s *ExecSource) resize(last bool) (f streams.Frame, ok bool, err error) {
	if !last || s.ended[channelResize] {
		return f, false, nil
	}
	b := s.whole[:streams.Headroom+s.size]
	var size struct{ Width, Height *uint16 }
	if json.Unmarshal(b[streams.Headroom:], &size) != nil || size.Width == nil || size.Height == nil {
		return f, false, nil
	}
	f = s.bare(streams.Resize, streams.Terminal)
	f.Buf = b
	return f, true, nil
}

// end yields the half-close of a channel, once. A client cannot end the
// server's channels.
func (s *ExecSource) end(last bool) (f streams.Frame, ok bool, err error) {
	if !last {
		return f, false, nil
	}
	if s.size == 0 {
		return f, false, violation("half-close of no channel")
	}
	channel := s.whole[streams.Headroom]
	if channel >= channelCount {
		return f, false, violation("half-close of an unknown channel")
	}
	if s.ended[channel] {
		return f, false, nil
	}
	s.ended[channel] = true
	switch channel {
	case channelStdin:
		return s.bare(streams.HalfClose, streams.Stdin), true, nil
	case channelResize:
		return s.bare(streams.HalfClose, streams.Terminal), true, nil
	}
	return f, false, nil
}

// bare is a frame without payload; it has room like any other.
func (s *ExecSource) bare(kind streams.Kind, role streams.Role) streams.Frame {
	return streams.Frame{
		Kind:   kind,
		Stream: streams.Stream{Role: role},
		Buf:    s.whole[:streams.Headroom],
		Off:    streams.Headroom,
	}
}

// take consumes n bytes of payload, unmasked; the reader's Room has them.
func (s *ExecSource) take(n int) error {
	if n == 0 {
		return nil
	}
	b, err := s.need(n)
	if err != nil {
		return err
	}
	s.in.unmask(b)
	s.r.Skip(n)
	return nil
}

// need is the reader's Need within a frame.
func (s *ExecSource) need(n int) ([]byte, error) {
	b, err := s.r.NeedSoon(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
