package spdy

import (
	"encoding/binary"

	"edge/streams"
)

// A frameWriter writes SPDY frames. It collects small frames until Flush, and keeps the order of
// all frames.
type frameWriter struct{ batch streams.Batch }

func newFrameWriter(w streams.Writer) frameWriter { return frameWriter{batch: streams.Batch{W: w}} }

// Flush implements streams.Sink.
func (w *frameWriter) Flush() error { return w.batch.Flush(0) }

// data writes the payload of f on the stream, in data frames of at most MaxData bytes.
func (w *frameWriter) data(id uint32, f streams.Frame) error {
	n := len(f.Buf) - f.Off
	if n == 0 {
		return nil
	}
	if n < streams.Small {
		b, err := w.batch.Grow(headLen + n)
		if err != nil {
			return err
		}
		putData(b, id, 0, n)
		copy(b[headLen:], f.Payload())
		return nil
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for off := f.Off; off < len(f.Buf); {
		end := min(off+streams.MaxData, len(f.Buf))
		// A payload longer than MaxData becomes several frames. The first frame's header of 8 bytes
		// goes into the free bytes before the payload. Each later header overwrites the end of the
		// frame before, which the connection has already sent.
		putData(f.Buf[off-headLen:], id, 0, end-off)
		if err := w.batch.W.WriteRoom(f.Buf[:end], off-headLen); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// fin half-closes the stream with an empty data frame, as moby/spdystream does.
func (w *frameWriter) fin(id uint32) error {
	b, err := w.batch.Grow(headLen)
	if err == nil {
		putData(b, id, flagFin, 0)
	}
	return err
}

// reset resets the stream with the given status. Status 0 is not valid on the wire, so it becomes
// CANCEL.
func (w *frameWriter) reset(id, status uint32) error {
	b, err := w.batch.Grow(headLen + rstStreamLen)
	if err == nil {
		appendReset(b[:0], id, status)
	}
	return err
}

func (w *frameWriter) goAway(last, status uint32) error {
	b, err := w.batch.Grow(headLen + goAwayLen)
	if err == nil {
		b = appendControl(b[:0], kindGoAway, goAwayLen)
		b = binary.BigEndian.AppendUint32(b, last)
		binary.BigEndian.AppendUint32(b, goAwayStatus(status))
	}
	return err
}

// goAwayStatus maps a WebSocket close code to a GOAWAY status of SPDY/3 draft section 2.6.6. It
// uses the three statuses that moby/spdystream knows: OK, protocol error, internal error.
func goAwayStatus(code uint32) uint32 {
	switch {
	case code < streams.CloseNormal:
		return code
	case code <= streams.CloseGoingAway:
		return 0
	case code <= streams.CloseInvalid:
		return 1
	}
	return 2
}

// AppendPing appends a PING frame to dst. The IDs that a client sends are odd; those that a server
// sends are even and not 0.
func AppendPing(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(appendControl(dst, kindPing, pingLen), id)
}
