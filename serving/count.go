package serving

import "bytes"

// A counter finds the headers in what a client sends, however it is split, and what they cost. It decodes nothing: a
// header that net/http will refuse is counted like any other.
type counter interface {
	// count appends to dst what p adds.
	count(dst []entry, p []byte) []entry
	// rest says that what comes next is a new request, where that cannot be seen in the bytes.
	rest()
	http2() bool
}

// count charges what was read above TLS. It reports whether the connection stays.
func (c *Conn) count(p []byte) bool {
	c.counting.Lock()
	defer c.counting.Unlock()
	var few [4]entry
	entries := c.counter.count(few[:0], p)
	if len(entries) == 0 {
		return true
	}
	return c.server.budget.charge(c, entries...)
}

// line is one header line, or one HTTP/2 field, as far as it has come.
type line int

// add counts n more bytes and returns what they cost.
func (l *line) add(n int) (cost int64) {
	before := *l
	*l += line(n)
	if before == 0 && n > 0 {
		cost = lineBytes
	}
	return cost + int64(max(*l-lineBytes, 0)-max(before-lineBytes, 0))
}

// lines counts headers of HTTP/1.1: lines up to an empty one. What follows is a body, until rest.
type lines struct {
	line
	cr   bool // the line so far is one CR
	body bool
}

func (*lines) http2() bool { return false }
func (l *lines) rest()     { *l = lines{} }

func (l *lines) count(dst []entry, p []byte) []entry {
	var cost int64
	for len(p) > 0 && !l.body {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			l.cr = l.line == 0 && len(p) == 1 && p[0] == '\r'
			cost += l.add(len(p))
			break
		}
		empty := n == 0 && (l.line == 0 || l.cr) || n == 1 && l.line == 0 && p[0] == '\r'
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
