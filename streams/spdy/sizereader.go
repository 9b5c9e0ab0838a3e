package spdy

import "edge/streams"

// A sizeReader splits the resize stream into terminal sizes. The sizes are consecutive JSON objects
// without nesting. A data frame may end anywhere.
type sizeReader struct {
	buf [streams.Headroom + streams.MaxResize]byte
	n   int // number of bytes of an incomplete JSON object in the field buf
}

// feed consumes bytes of b up to the end of a JSON object. It returns how many bytes it consumed,
// and whether the object is complete. If it is complete, the method frame returns it.
func (z *sizeReader) feed(b []byte) (taken int, whole bool, err error) {
	for i, c := range b {
		switch {
		case z.n == 0 && isSpace(c):
			continue
		case (c == '{') != (z.n == 0):
			return i, false, violation("a terminal size that is not a flat JSON object")
		case z.n == streams.MaxResize:
			return i, false, tooBig("a terminal size of more than %d bytes", streams.MaxResize)
		}
		z.buf[streams.Headroom+z.n] = c
		z.n++
		if c == '}' {
			return i + 1, true, nil
		}
	}
	return len(b), false, nil
}

// isSpace reports whether JSON allows c between two objects.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// frame returns the complete JSON object as a Resize frame, and starts the next object.
func (z *sizeReader) frame() streams.Frame {
	f := streams.Frame{
		Kind:   streams.Resize,
		Stream: streams.Stream{Role: streams.Terminal},
		Buf:    z.buf[:streams.Headroom+z.n],
		Off:    streams.Headroom,
	}
	z.n = 0
	return f
}
