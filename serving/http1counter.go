package serving

import "bytes"

// http1Counter counts the headers of HTTP/1.1: lines up to an empty line. It treats the bytes after
// the empty line as a body, until the method rest is called.
type http1Counter struct {
	line
	cr   bool // true: the line read so far is a single CR
	body bool
}

func (*http1Counter) http2() bool { return false }

func (l *http1Counter) rest() { *l = http1Counter{} }

func (l *http1Counter) count(dst []entry, p []byte) []entry {
	var cost int64
	for len(p) > 0 && !l.body {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			l.cr = l.line == 0 && len(p) == 1 && p[0] == '\r'
			cost += l.add(len(p))
			break
		}
		empty := l.endsEmpty(p[:n])
		cost += l.add(n + 1)
		l.line, l.cr = 0, false
		p = p[n+1:]
		if empty {
			l.body = true
			return append(dst, entry{cost, whole})
		}
	}
	if cost > 0 {
		dst = append(dst, entry{cost, more})
	}
	return dst
}

// endsEmpty reports whether a header line is empty, which means that only a CR, or nothing, comes
// before its LF. p is the last part of the line, without the LF.
func (l *http1Counter) endsEmpty(p []byte) bool {
	if l.line == 0 {
		return len(p) == 0 || string(p) == "\r"
	}
	return l.cr && len(p) == 0
}
