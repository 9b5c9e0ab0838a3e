package ws

import "edge/streams"

// PortSource reads what a client of port-forward sends: data of its
// connections, and the Close. See the package doc for what it ignores.
type PortSource struct {
	receiver
	channels int // that the session has
	base64   bool

	tagged  bool // the message's channel byte was read
	channel byte // valid while tagged
	decoder base64Decoder
}

// NewPortSource reads a client's frames from r, beginning after the handshake,
// for a session of that many ports. Answers to pings go to rep. Who made r
// closes it.
func NewPortSource(r *streams.Reader, rep streams.Replier, ports int, base64 bool) *PortSource {
	return &PortSource{receiver: receiver{r: r, rep: rep}, channels: 2 * ports, base64: base64}
}

// Next implements streams.Source. It ends as ExecSource's does.
func (s *PortSource) Next() (streams.Frame, error) { return s.receiver.next(s.message) }

// message takes the next piece of a message.
func (s *PortSource) message() (f streams.Frame, ok bool, err error) {
	if !s.tagged && s.in.left > 0 {
		if err := s.take(1); err != nil {
			return f, false, err
		}
		b, off := s.r.Room(1)
		s.tagged, s.channel, s.decoder = true, b[off], base64Decoder{}
		if s.base64 {
			s.channel -= '0'
		}
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
	if int(s.channel) >= s.channels || s.channel%2 != 0 {
		return f, false, nil // nobody listens there
	}
	if s.base64 {
		if n, err = s.decoder.decode(b[off:]); err == nil && last {
			err = s.decoder.end()
		}
		b = b[:off+n]
	}
	data, _ := streams.PortStreams(int(s.channel / 2))
	return streams.Frame{Kind: streams.Data, Stream: data, Buf: b, Off: off}, n > 0 && err == nil, err
}
