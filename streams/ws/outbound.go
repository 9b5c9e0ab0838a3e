package ws

import (
	"encoding/base64"
	"encoding/binary"

	"edge/streams"
)

// outbound makes one message of each piece that it is given. It is the Writer
// of a sink and of its batch, between them and the leg.
type outbound struct {
	w    streams.Writer
	side side
	text bool // the first byte is a channel and goes as a digit, the others as base64
}

// WriteRoom implements streams.Writer. In a binary message b[off:] goes from
// where it lies, with the header in the room before it; a client masks it there.
func (o *outbound) WriteRoom(b []byte, off int) error {
	if o.text {
		return o.encode(b[off], b[off+1:])
	}
	return o.side.write(o.w, opBinary, b, off)
}

// writeMasked is WriteRoom of a client's binary message whose bytes after the
// first lie under the key of whoever said them. They come out from under that one
// and go under the message's own in one pass.
func (o *outbound) writeMasked(b []byte, off int, under uint32) error {
	b, off = client.room(b, off)
	begin, key := client.head(opBinary, b, off)
	mask(b[off+1:], mask(b[off:off+1], key)^under)
	return o.w.WriteRoom(b, begin)
}

// maxText is the most payload, in bytes, of a base64 message that fits in a
// borrowed buffer: a multiple of three, so that it needs no padding.
const maxText = (streams.MaxNeed - 1) / 4 * 3

// encode writes a text message. Only a Status may be longer than maxText; there
// is one in a session, and it pays with memory of its own.
func (o *outbound) encode(channel byte, payload []byte) error {
	n := streams.Headroom + 1 + base64.StdEncoding.EncodedLen(len(payload))
	var b []byte
	if len(payload) <= maxText {
		buf := streams.Borrow()
		defer streams.Return(buf)
		b = buf[:n]
	} else {
		b = make([]byte, n)
	}
	b[streams.Headroom] = '0' + channel
	base64.StdEncoding.Encode(b[streams.Headroom+1:], payload)
	return o.side.write(o.w, opText, b, streams.Headroom)
}

// write writes b[off:] as one whole frame, with the header in the room before it.
func (s side) write(w streams.Writer, op byte, b []byte, off int) error {
	b, off = s.room(b, off)
	return w.WriteRoom(b, s.seal(op, b, off))
}

// room returns b with room for our header before b[off:]. Who left too little
// pays with a copy.
func (s side) room(b []byte, off int) ([]byte, int) {
	if n := len(b) - off; off < s.headerSize(n) {
		return append(make([]byte, maxHeader, maxHeader+n), b[off:]...), maxHeader
	}
	return b, off
}

// seal puts the header of a whole frame right before its payload b[off:], which
// a client masks, and returns where the frame begins.
func (s side) seal(op byte, b []byte, off int) int {
	begin, key := s.head(op, b, off)
	if s == client {
		mask(b[off:], key)
	}
	return begin
}

// head is seal without masking the payload: a client's header has key.
func (s side) head(op byte, b []byte, off int) (begin int, key uint32) {
	n := len(b) - off
	off -= s.headerSize(n)
	putHeader(b[off:off+headerSize(n)], op, n)
	if s == client {
		key = newKey()
		b[off+1] |= maskBit
		binary.LittleEndian.PutUint32(b[off+headerSize(n):], key)
	}
	return off, key
}

// headerSize is how long our header is before n bytes of payload.
func (s side) headerSize(n int) int {
	if s == client {
		return headerSize(n) + keySize
	}
	return headerSize(n)
}

// headerSize is how long a header without a key is before n bytes of payload.
func headerSize(n int) int {
	switch {
	case n < length16:
		return prefixSize
	case n>>16 == 0:
		return prefixSize + 2
	}
	return prefixSize + 8
}

// putHeader fills b, of headerSize(n) bytes, with a header without a key.
func putHeader(b []byte, op byte, n int) {
	b[0] = finBit | op
	switch len(b) {
	case prefixSize:
		b[1] = byte(n)
	case prefixSize + 2:
		b[1] = length16
		binary.BigEndian.PutUint16(b[prefixSize:], uint16(n))
	default:
		b[1] = length64
		binary.BigEndian.PutUint64(b[prefixSize:], uint64(n))
	}
}
