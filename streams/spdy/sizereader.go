package spdy

import "edge/streams"

// A sizeReader cuts the resize stream into terminal sizes. They come as JSON objects
// without nesting, one after the other, and a data frame may end anywhere.
type sizeReader struct {
	buf [streams.Headroom + streams.MaxResize]byte
	n   int // bytes of an object that is not whole yet
}

// feed takes bytes up to the end of an object. It returns how many it took, and
// whether the object is whole: then frame gives it.
func (z *sizeReader) feed(b []byte) (taken int, whole bool, err error) {
	for i, c := range b {
		switch {
		case z.n == 0 && isSpace(c):
			continue
		case (c == '{') != (z.n == 0):
			return i, false, violation("a terminal size that is no flat JSON object")
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

// isSpace tells what JSON may have between two objects.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// frame gives the whole object, and begins anew.
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
