package serving

// A counter finds the headers in what a client sends, however it is split, and what they cost. It decodes nothing: a
// header that net/http will refuse is counted like any other.
type counter interface {
	// count appends to dst what p adds.
	count(dst []entry, p []byte) []entry
	// rest says that what comes next is a new request, where that cannot be seen in the bytes.
	rest()
	http2() bool
}

// lineBytes is what a header line counts at least: about what a short one takes in net/http's map.
const lineBytes = 256

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

// entry is a part of a header that was read.
type entry struct {
	cost int64
	end  ending
}

type ending uint8

const (
	more    ending = iota // the header goes on
	whole                 // it ends, and a handler begins with it
	dropped               // it ends, and no handler does: trailers
)
