package serving

// hpackScanner finds the fields of an HPACK block (RFC 7541, section 6), however it is split: only where each one ends. It needs
// no table and no Huffman code for that.
type hpackScanner struct {
	line         // the field that is read
	part    part // what comes next of it
	named   bool // after its name
	update  bool // it is no field but a size of the table
	broken  bool // what comes is no HPACK, and the connection will end
	shift   uint // of the integer's next byte
	number  uint64
	literal bool // a name or value, number bytes long, is read
	n       int  // fields that have ended
}

type part uint8

const (
	first   part = iota // a field's first byte
	index               // the rest of the integer in it
	length              // the first byte of a string's length
	lengths             // the rest of that
	text                // the string
)

// maxShift is where an integer is too long for any decoder; x/net's.
const maxShift = 63

// add takes the next bytes of the block and returns what they cost.
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
		if f.part == first && b&0xe0 == 0x20 { // section 6.3: changes the table, and is kept nowhere
			f.update = true
		}
		if f.update {
			cost++
		} else {
			cost += f.line.add(1)
		}
		f.step(b)
	}
	return cost + int64(len(p)) // of what is broken
}

// step takes one byte that is no text.
func (f *hpackScanner) step(b byte) {
	switch f.part {
	case first:
		switch {
		case f.update:
			f.integer(b, 5, index)
		case b&0x80 != 0: // section 6.1
			f.named, f.literal = true, false
			f.integer(b, 7, index)
		case b&0x40 != 0: // section 6.2.1
			f.named, f.literal = b&0x3f != 0, true
			f.integer(b, 6, index)
		default: // sections 6.2.2, 6.2.3
			f.named, f.literal = b&0x0f != 0, true
			f.integer(b, 4, index)
		}
	case length:
		f.integer(b, 7, lengths)
	default: // index, lengths: section 5.1
		f.number += uint64(b&0x7f) << f.shift
		if f.shift += 7; b&0x80 == 0 {
			f.counted()
		} else if f.shift >= maxShift {
			f.broken = true
		}
	}
}

// integer begins one whose first byte has it in its last bits.
func (f *hpackScanner) integer(b byte, bits uint, rest part) {
	most := byte(1)<<bits - 1
	f.number, f.shift, f.part = uint64(b&most), 0, rest
	if b&most != most {
		f.counted()
	}
}

// counted is after an integer.
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

// ended is after a string.
func (f *hpackScanner) ended() {
	if f.named {
		f.fieldEnded()
		return
	}
	f.named, f.part = true, length
}

// fieldEnded is after a field, or after an update.
func (f *hpackScanner) fieldEnded() {
	if !f.update {
		f.n++
	}
	f.line, f.part, f.update, f.literal = 0, first, false, false
}
