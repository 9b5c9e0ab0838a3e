package spdy

import (
	"encoding/binary"
	"io"

	"edge/streams"
)

// Control frame types, SPDY/3 draft section 2.6. What is not named here, known
// (SETTINGS 4, WINDOW_UPDATE 9, CREDENTIAL 10) or not, is skipped.
const (
	kindData      = 0 // no control frame; the draft has no type 0
	kindSynStream = 1
	kindSynReply  = 2
	kindRstStream = 3
	kindPing      = 6
	kindGoAway    = 7
	kindHeaders   = 8
)

const (
	flagFin            = 0x01
	flagUnidirectional = 0x02 // of SYN_STREAM; SPDY in Kubernetes has none
)

// Status of RST_STREAM, section 2.6.3. 0 is none, and moby/spdystream closes
// the connection that brings it.
const (
	resetRefused = 3
	resetCancel  = 5
)

// Lengths in bytes.
const (
	headLen    = 8
	idMask     = 1<<31 - 1
	controlBit = 0x80
	version    = 3

	synStreamLen = 10 // before the header block: id, associated id, priority, slot
	synReplyLen  = 4  // before the header block, also in HEADERS: id
	rstStreamLen = 8  // id, status
	goAwayLen    = 8  // last good id, status
	pingLen      = 4  // id

	// maxBlock bounds a header block on the wire. Kubernetes' are below 200.
	maxBlock = 16 << 10
	// maxControl bounds a control frame that is skipped.
	maxControl = 64 << 10
)

// A head is what stands in the first 8 bytes of a frame.
type head struct {
	kind   uint16
	flags  byte
	length int    // of what follows
	id     uint32 // the stream, in data frames only
}

// A wire reads frames, and deals with those that concern no stream.
type wire struct {
	r    *streams.Reader
	rep  streams.Replier
	even bool            // the peer is a server: its pings and streams have even ids
	pong func(id uint32) // told of the peer's answers to our pings; nil: nobody

	// The data frame that is being read.
	left int
	fin  bool

	// A frame that waits for the next call of Next; Kind 0: none.
	after streams.Frame

	room [streams.Headroom]byte // before nothing, in frames without payload
}

// next reads the head of the next frame that concerns a stream or the session.
func (w *wire) next() (head, error) {
	for {
		h, err := w.head()
		if err != nil {
			return h, err
		}
		switch h.kind {
		case kindData:
			if h.id == 0 {
				return h, violation("data on stream 0")
			}
			return h, nil
		case kindSynStream:
			return h, h.bounds(synStreamLen, synStreamLen+maxBlock)
		case kindSynReply, kindHeaders:
			return h, h.bounds(synReplyLen, synReplyLen+maxBlock)
		case kindRstStream:
			return h, h.bounds(rstStreamLen, rstStreamLen)
		case kindGoAway:
			return h, h.bounds(goAwayLen, goAwayLen)
		case kindPing:
			if err = h.bounds(pingLen, pingLen); err == nil {
				err = w.ping()
			}
		default:
			if err = h.bounds(0, maxControl); err == nil {
				err = w.skip(h.length)
			}
		}
		if err != nil {
			return h, err
		}
	}
}

func (w *wire) head() (h head, err error) {
	b, err := w.r.Need(headLen)
	if err != nil {
		return h, err
	}
	first := binary.BigEndian.Uint32(b)
	h.flags = b[4]
	h.length = int(binary.BigEndian.Uint32(b[4:]) & (1<<24 - 1))
	w.r.Skip(headLen)
	if b[0]&controlBit == 0 {
		h.id = first
		return h, nil
	}
	h.kind = uint16(first)
	if v := first >> 16 & 0x7fff; v != version {
		return h, violation("a control frame of version %d", v)
	}
	if h.kind == kindData {
		return h, violation("a control frame of type 0")
	}
	return h, nil
}

func (h head) bounds(low, high int) error {
	if h.length < low || h.length > high {
		return violation("a control frame of type %d and %d bytes", h.kind, h.length)
	}
	return nil
}

// ping answers the peer's pings. Those with our parity are answers to ours.
func (w *wire) ping() error {
	b, err := w.take(pingLen)
	if err != nil {
		return err
	}
	id := binary.BigEndian.Uint32(b)
	if id == 0 {
		return violation("a ping without id")
	}
	if w.even != (id%2 == 0) {
		if w.pong != nil {
			w.pong(id)
		}
		return nil
	}
	var answer [headLen + pingLen]byte
	return w.rep.Reply(AppendPing(answer[:0], id))
}

// AppendPing appends a PING frame to dst. Ids of a client are odd, ids of a
// server even, and not 0.
func AppendPing(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(appendControl(dst, kindPing, pingLen), id)
}

// stream reads the fixed part of a control frame's body, which begins with a
// stream's id. The rest of it stays valid until more is read.
func (w *wire) stream(fixed int) (id uint32, rest []byte, err error) {
	b, err := w.take(fixed)
	if err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint32(b) & idMask, b[4:], nil
}

// openStream is stream for frames in which id 0 is an error.
func (w *wire) openStream(fixed int) (id uint32, rest []byte, err error) {
	id, rest, err = w.stream(fixed)
	if err == nil && id == 0 {
		err = violation("a control frame for stream 0")
	}
	return id, rest, err
}

// peek returns n bytes within a frame, at least 1 and at most streams.MaxNeed.
func (w *wire) peek(n int) ([]byte, error) {
	b, err := w.r.NeedSoon(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// take is peek that consumes, and may be asked for 0.
func (w *wire) take(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := w.peek(n)
	if err == nil {
		w.r.Skip(n)
	}
	return b, err
}

// skip consumes n bytes within a frame, any number.
func (w *wire) skip(n int) error {
	for n > 0 {
		piece := min(n, streams.MaxData)
		if _, err := w.take(piece); err != nil {
			return err
		}
		n -= piece
	}
	return nil
}

// begin starts a data frame; the source consumes left, then fin.
func (w *wire) begin(h head) { w.left, w.fin = h.length, h.flags&flagFin != 0 }

// drop consumes what is left of the data frame, but for its FIN.
func (w *wire) drop() error {
	n := w.left
	w.left = 0
	return w.skip(n)
}

// cut yields the next piece of the data frame, of which something is left.
func (w *wire) cut(s streams.Stream) (streams.Frame, error) {
	n := min(w.left, streams.MaxData)
	if _, err := w.take(n); err != nil {
		return streams.Frame{}, err
	}
	w.left -= n
	buf, off := w.r.Room(n)
	return streams.Frame{Kind: streams.Data, Stream: s, Buf: buf, Off: off}, nil
}

// bare makes a frame without payload.
func (w *wire) bare(k streams.Kind, s streams.Stream, code uint32) streams.Frame {
	return streams.Frame{Kind: k, Stream: s, Code: code, Buf: w.room[:], Off: len(w.room)}
}

// goAway reads the body of a GOAWAY. The frame's ID is the last good stream's.
func (w *wire) goAway() (streams.Frame, error) {
	id, rest, err := w.stream(goAwayLen)
	if err != nil {
		return streams.Frame{}, err
	}
	return w.bare(streams.Close, streams.Stream{ID: id}, binary.BigEndian.Uint32(rest)), nil
}

// taken gives the frame that waits, if one does.
func (w *wire) taken() (streams.Frame, bool) {
	f := w.after
	w.after = streams.Frame{}
	return f, f.Kind != 0
}

func violation(format string, args ...any) error {
	return streams.Violation(streams.CloseProtocol, "SPDY: "+format, args...)
}
