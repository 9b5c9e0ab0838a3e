package spdy

import (
	"encoding/binary"
	"errors"
	"io"

	"edge/streams"
)

// A frameReader reads SPDY frames. It handles frames that belong to no stream, such as pings,
// itself.
type frameReader struct {
	r    *streams.Reader
	rep  streams.Replier
	even bool            // true: the peer is a server, whose pings and streams have even IDs
	pong func(id uint32) // called for each answer to a ping that edge sent; may be nil

	// left and fin describe the current data frame: the bytes not read yet, and whether it has a
	// FIN.
	left int
	fin  bool

	// after is a frame that the source's next call of Next returns; Kind 0: there is none.
	after streams.Frame

	room [streams.Headroom]byte // free bytes before the empty payload of a frame
}

// next reads frames until one belongs to a stream or to the session, and returns the header of that
// frame.
func (r *frameReader) next() (head, error) {
	for {
		h, err := r.head()
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
				err = r.ping()
			}
		default:
			if err = h.bounds(0, maxControl); err == nil {
				err = r.skip(h.length)
			}
		}
		if err != nil {
			return h, err
		}
	}
}

func (r *frameReader) head() (h head, err error) {
	b, err := r.r.Need(headLen)
	if err != nil {
		return h, err
	}
	first := binary.BigEndian.Uint32(b)
	h.flags = b[4]
	h.length = int(binary.BigEndian.Uint32(b[4:]) & (1<<24 - 1))
	r.r.Skip(headLen)
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

// ping answers a PING of the peer. A PING whose ID has the parity that edge uses (odd from a
// client, even from a server) is an answer to a PING of edge.
func (r *frameReader) ping() error {
	b, err := r.take(pingLen)
	if err != nil {
		return err
	}
	id := binary.BigEndian.Uint32(b)
	if id == 0 {
		return violation("a PING without an ID")
	}
	if r.even != (id%2 == 0) {
		if r.pong != nil {
			r.pong(id)
		}
		return nil
	}
	var answer [headLen + pingLen]byte
	return r.rep.Reply(AppendPing(answer[:0], id))
}

// stream reads the beginning of a control frame's body, which starts with a stream ID of 4 bytes.
// The parameter fixed is the number of bytes to read, with the ID. The returned slice rest has the
// bytes after the ID, and stays valid until the next read.
func (r *frameReader) stream(fixed int) (id uint32, rest []byte, err error) {
	b, err := r.take(fixed)
	if err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint32(b) & idMask, b[4:], nil
}

// openStream does the same as the method stream, for frames in which stream ID 0 is an error.
func (r *frameReader) openStream(fixed int) (id uint32, rest []byte, err error) {
	id, rest, err = r.stream(fixed)
	if err == nil && id == 0 {
		err = violation("a control frame for stream 0")
	}
	return id, rest, err
}

// peek returns the next n bytes of the current frame without consuming them; n is 1 to
// streams.MaxNeed.
func (r *frameReader) peek(n int) ([]byte, error) {
	b, err := r.r.NeedSoon(n)
	if err != nil && errors.Is(err, io.EOF) { // the first comparison saves calls of errors.Is
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// take returns and consumes the next n bytes of the current frame; n may be 0.
func (r *frameReader) take(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := r.peek(n)
	if err == nil {
		r.r.Skip(n)
	}
	return b, err
}

// skip consumes n bytes of the current frame; n may be any number.
func (r *frameReader) skip(n int) error {
	for n > 0 {
		piece := min(n, streams.MaxData)
		if _, err := r.take(piece); err != nil {
			return err
		}
		n -= piece
	}
	return nil
}

// begin starts a data frame. The source then consumes r.left bytes, and handles the FIN if r.fin is
// set.
func (r *frameReader) begin(h head) { r.left, r.fin = h.length, h.flags&flagFin != 0 }

// drop consumes the rest of the current data frame, but does not handle its FIN.
func (r *frameReader) drop() error {
	n := r.left
	r.left = 0
	return r.skip(n)
}

// cut returns the next piece of the current data frame, as a Data frame of stream s. r.left must be
// above 0.
func (r *frameReader) cut(s streams.Stream) (streams.Frame, error) {
	n := min(r.left, streams.MaxData)
	if _, err := r.take(n); err != nil {
		return streams.Frame{}, err
	}
	r.left -= n
	buf, off := r.r.Room(n)
	return streams.Frame{Kind: streams.Data, Stream: s, Buf: buf, Off: off}, nil
}

// bare returns a frame of stream s without payload.
func (r *frameReader) bare(k streams.Kind, s streams.Stream, code uint32) streams.Frame {
	return streams.Frame{Kind: k, Stream: s, Code: code, Buf: r.room[:], Off: len(r.room)}
}

// goAway reads the body of a GOAWAY. The returned frame's stream ID is the last good stream.
func (r *frameReader) goAway() (streams.Frame, error) {
	id, rest, err := r.stream(goAwayLen)
	if err != nil {
		return streams.Frame{}, err
	}
	return r.bare(streams.Close, streams.Stream{ID: id}, binary.BigEndian.Uint32(rest)), nil
}

// taken returns r.after and clears it. It returns false if r.after is empty.
func (r *frameReader) taken() (streams.Frame, bool) {
	f := r.after
	r.after = streams.Frame{}
	return f, f.Kind != 0
}
