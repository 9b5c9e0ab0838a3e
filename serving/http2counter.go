package serving

import "encoding/binary"

// Sizes in bytes, frame types and flags of RFC 9113.
const (
	prefaceSize  = 24 // bytes of the connection preface, RFC 9113 section 3.4
	frameHead    = 9  // bytes of a frame's header, RFC 9113 section 4.1
	prioritySize = 5  // bytes of the priority fields in HEADERS, RFC 9113 section 6.2

	frameHeaders      = 0x1
	frameContinuation = 0x9

	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// http2Counter counts the headers of HTTP/2: the field blocks of HEADERS and CONTINUATION frames.
// It does not check the protocol: net/http finds violations and closes the connection.
type http2Counter struct {
	hpackScanner
	preface int // bytes of the preface read so far
	head    [frameHead]byte
	filled  int  // bytes of the frame's header read so far
	left    int  // bytes of the frame's payload that are still to come
	front   int  // bytes before the header's fields (padding length, priority); the field left includes them
	padded  bool // true: the payload's first byte, still to come, is the length of the padding
	back    int  // bytes of padding at the end; the field left includes them
	stream  uint32
	highest uint32 // highest ID of a stream that a header has opened
	trailer bool   // true: the current header is the second of its stream
}

func (*http2Counter) http2() bool { return true }
func (*http2Counter) rest()       {}

func (f *http2Counter) count(dst []entry, p []byte) []entry {
	n := min(prefaceSize-f.preface, len(p))
	f.preface += n
	p = p[n:]
	var cost int64
	for len(p) > 0 {
		if f.filled < frameHead {
			n := copy(f.head[f.filled:], p)
			f.filled += n
			p = p[n:]
			if f.filled == frameHead {
				f.begin()
			}
		} else {
			n := min(f.left, len(p))
			cost += f.payload(p[:n])
			p = p[n:]
		}
		if f.filled == frameHead && f.left == 0 { // an empty frame ends with its header
			if f.isHeader() && f.head[4]&flagEndHeaders != 0 {
				end := whole
				if f.trailer {
					end = dropped
				}
				dst, cost = append(dst, entry{cost, end}), 0
			}
			f.filled = 0
		}
	}
	if cost > 0 {
		dst = append(dst, entry{cost, more})
	}
	return dst
}

func (f *http2Counter) isHeader() bool {
	return f.head[3] == frameHeaders || f.head[3] == frameContinuation
}

// begin parses the 9 bytes of a frame's header.
func (f *http2Counter) begin() {
	f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
	f.front, f.back, f.padded = 0, 0, false
	if f.head[3] != frameHeaders {
		return
	}
	f.hpackScanner = hpackScanner{}
	f.stream = binary.BigEndian.Uint32(f.head[5:]) & (1<<31 - 1)
	if f.trailer = f.stream <= f.highest; !f.trailer {
		f.highest = f.stream
	}
	if f.padded = f.head[4]&flagPadded != 0; f.padded {
		f.front++
	}
	if f.head[4]&flagPriority != 0 {
		f.front += prioritySize
	}
}

// payload takes bytes of the frame's payload and returns what the fields in them cost of the memory
// budget.
func (f *http2Counter) payload(p []byte) int64 {
	if !f.isHeader() {
		f.left -= len(p)
		return 0
	}
	if f.padded && len(p) > 0 {
		f.padded, f.back = false, int(p[0])
	}
	n := min(f.front, len(p))
	f.front, f.left, p = f.front-n, f.left-n, p[n:]
	fields := min(max(f.left-f.back, 0), len(p))
	f.left -= len(p)
	return f.hpackScanner.add(p[:fields])
}
