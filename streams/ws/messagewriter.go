package ws

import (
	"encoding/base64"

	"edge/streams"
)

// messageWriter makes one message of each piece that it is given. It is the Writer
// of a sink and of its batch, between them and the leg.
type messageWriter struct {
	w    streams.Writer
	side side
	text bool // the first byte is a channel and goes as a digit, the others as base64
}

// WriteRoom implements streams.Writer. In a binary message b[off:] goes from
// where it lies, with the header in the room before it; a client masks it there.
func (w *messageWriter) WriteRoom(b []byte, off int) error {
	if w.text {
		return w.encode(b[off], b[off+1:])
	}
	return w.side.write(w.w, opBinary, b, off)
}

// writeMasked is WriteRoom of a client's binary message whose bytes after the
// first lie under the key of whoever said them. They come out from under that one
// and go under the message's own in one pass.
func (w *messageWriter) writeMasked(b []byte, off int, under uint32) error {
	b, off = client.room(b, off)
	begin, key := client.head(opBinary, b, off)
	mask(b[off+1:], mask(b[off:off+1], key)^under)
	return w.w.WriteRoom(b, begin)
}

// maxText is the most payload, in bytes, of a base64 message that fits in a
// borrowed buffer: a multiple of three, so that it needs no padding.
const maxText = (streams.MaxNeed - 1) / 4 * 3

// encode writes a text message. Only a Status may be longer than maxText; there
// is one in a session, and it pays with memory of its own.
func (w *messageWriter) encode(channel byte, payload []byte) error {
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
	return w.side.write(w.w, opText, b, streams.Headroom)
}
