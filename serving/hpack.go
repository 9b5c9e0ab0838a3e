package serving

// hpackScanner finds where each field of an HPACK block ends (RFC 7541, section 6). The block may
// be split anywhere. To find the ends, the scanner needs no table and no Huffman code.
type hpackScanner struct {
	line         // number of bytes of the field that is being read
	part    part // the part of the field that the next byte belongs to
	named   bool // true: the field's name is complete
	update  bool // true: the bytes are a dynamic table size update, not a field
	broken  bool // true: the bytes are not HPACK; net/http will close the connection
	shift   uint // bits by which the next byte of the integer is shifted
	number  uint64
	literal bool // true: the field is literal: a value, and perhaps a name, follow its first integer
	n       int  // number of complete fields
}

type part uint8

const (
	first   part = iota // the first byte of a field
	index               // further bytes of the integer that the first byte of the field begins
	length              // the first byte of a string's length
	lengths             // further bytes of a string's length
	text                // the bytes of a string
)

// maxShift is the shift at which the decoder of golang.org/x/net rejects an integer as too long.
const maxShift = 63

// add takes the next bytes of the block and returns what they cost of the memory budget.
func (f *hpackScanner) add(p []byte) (cost int64) {
	for len(p) > 0 && !f.broken {
		if f.part == text {
			n := int(min(f.number, uint64(len(p))))
			cost += f.line.add(n)
			f.number -= uint64(n)
			p = p[n:]
			if f.number == 0 {
				f.ended()
			}
			continue
		}
		b := p[0]
		p = p[1:]
		if f.part == first && b&0xe0 == 0x20 { // a dynamic table size update, which takes no memory (RFC 7541, section 6.3)
			f.update = true
		}
		if f.update {
			cost++
		} else {
			cost += f.line.add(1)
		}
		f.step(b)
	}
	return cost + int64(len(p)) // p is empty unless the block is broken; then each byte after the error costs one byte
}

// step takes one byte that is not part of a string.
func (f *hpackScanner) step(b byte) {
	switch f.part {
	case first:
		switch {
		case f.update:
			f.integer(b, 5, index)
		case b&0x80 != 0: // name and value by index (RFC 7541, section 6.1)
			f.named, f.literal = true, false
			f.integer(b, 7, index)
		case b&0x40 != 0: // a literal value that is added to the table (RFC 7541, section 6.2.1)
			f.named, f.literal = b&0x3f != 0, true
			f.integer(b, 6, index)
		default: // a literal value that is not added to the table (RFC 7541, sections 6.2.2 and 6.2.3)
			f.named, f.literal = b&0x0f != 0, true
			f.integer(b, 4, index)
		}
	case length:
		f.integer(b, 7, lengths)
	default: // index or lengths: a further byte of an integer (RFC 7541, section 5.1)
		f.number += uint64(b&0x7f) << f.shift
		if f.shift += 7; b&0x80 == 0 {
			f.counted()
		} else if f.shift >= maxShift {
			f.broken = true
		}
	}
}

// integer begins an integer (RFC 7541, section 5.1). The first bits of the integer are the last
// bits of the byte b.
func (f *hpackScanner) integer(b byte, bits uint, rest part) {
	most := byte(1)<<bits - 1
	f.number, f.shift, f.part = uint64(b&most), 0, rest
	if b&most != most {
		f.counted()
	}
}

// counted runs after the last byte of an integer (RFC 7541, section 5.1) was read.
func (f *hpackScanner) counted() {
	switch {
	case f.part == lengths && f.number > 0:
		f.part = text
	case f.part == lengths:
		f.ended()
	case f.literal && !f.update:
		f.part = length
	default:
		f.fieldEnded()
	}
}

// ended runs after the last byte of a string was read.
func (f *hpackScanner) ended() {
	if f.named {
		f.fieldEnded()
		return
	}
	f.named, f.part = true, length
}

// fieldEnded runs after the last byte of a field or of a table size update was read.
func (f *hpackScanner) fieldEnded() {
	if !f.update {
		f.n++
	}
	f.line, f.part, f.update, f.literal = 0, first, false, false
}
