package ws

import (
	"encoding/base64"

	"edge/streams"
)

// messageWriter writes each piece that a sink writes as one message. It is the Writer below the
// sink and the sink's batch, and writes to the Writer of the connection.
type messageWriter struct {
	w    streams.Writer
	side side
	text bool // true: text messages, whose first byte, a channel, becomes a digit, and the rest base64
}

// WriteRoom implements streams.Writer. For a binary message it puts the header in the free bytes
// before b[off:] and does not copy the payload. On the client side it masks the payload in place.
func (w *messageWriter) WriteRoom(b []byte, off int) error {
	if w.text {
		return w.encode(b[off], b[off+1:])
	}
	return w.side.write(w.w, opBinary, b, off)
}

// writeMasked writes a binary message that edge sends as a client: b[off:], with the header in the
// free bytes before it. The payload's bytes after the first are still masked (RFC 6455 section 5.3)
// with another message's key, the parameter under. writeMasked replaces that mask by the new
// message's in one pass.
func (w *messageWriter) writeMasked(b []byte, off int, under uint32) error {
	b, off = client.room(b, off)
	begin, key := client.head(opBinary, b, off)
	mask(b[off+1:], mask(b[off:off+1], key)^under)
	return w.w.WriteRoom(b, begin)
}

// maxText is the largest payload, in bytes, whose base64 message fits in a borrowed buffer. It is a
// multiple of three, so that base64 needs no padding.
const maxText = (streams.MaxNeed - 1) / 4 * 3

// encode writes a text message for a channel. Only a Status may be longer than maxText. A session
// has at most one Status; encode allocates a buffer for such a long one.
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
