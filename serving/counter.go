package serving

// A counter finds the headers in the bytes that a client sends, and counts what they cost of the
// memory budget. The bytes may be split anywhere. A counter decodes no header: a header that
// net/http will refuse counts like any other.
type counter interface {
	// count finds the headers, or parts of headers, in p and appends one entry for each to dst.
	count(dst []entry, p []byte) []entry
	// rest tells the counter that the next bytes begin a new request. HTTP/1.1 needs this call,
	// because the counter does not parse where a body ends.
	rest()
	http2() bool
}

// lineBytes is the least cost of a header line, in bytes: about the memory of a short line in
// net/http's map.
const lineBytes = 256

// line counts the bytes read so far of one header line, or of one HTTP/2 field.
type line int

// add counts n more bytes of the line and returns what they cost of the memory budget.
func (l *line) add(n int) (cost int64) {
	before := *l
	*l += line(n)
	if before == 0 && n > 0 {
		cost = lineBytes
	}
	return cost + int64(max(*l-lineBytes, 0)-max(before-lineBytes, 0))
}

// entry is a header, or a part of a header, that was read from a client.
type entry struct {
	cost int64
	end  ending
}

type ending uint8

const (
	more    ending = iota // this part does not complete the header
	whole                 // the header is complete, and a handler will start for it
	dropped               // the header is complete, but no handler starts for it: trailers
)
