package ws

import "encoding/binary"

// maxEmptyFragments bounds the fragments without payload that may follow one
// another within a message. Whole empty messages have no bound: they are some
// client's heartbeat, and cost no more than a ping.
const maxEmptyFragments = 64

// frameParser is where a reader stands among its peer's frames.
type frameParser struct {
	side  side   // ours; the peer is the other
	op    byte   // the frame's opcode; in a fragment the message's
	fin   bool   // the frame ends its message
	left  uint64 // payload of the frame still to come, in bytes
	key   uint32 // masks the next four bytes of payload, lowest byte first
	open  byte   // opcode of the message whose fragments are not complete; 0: none
	empty int    // fragments without payload in a row
}

func (in *frameParser) control() bool { return in.op&controlBit != 0 }

// prefix checks the first two bytes of a frame and returns how long its header
// is, in bytes. It changes nothing, so that it may be asked again.
func (in *frameParser) prefix(b []byte) (int, error) {
	length := b[1] & lengthBits
	if b[0]&rsvBits != 0 {
		return 0, violation("reserved bits set, but no extension was agreed on")
	}
	switch masked := b[1]&maskBit != 0; {
	case in.side == server && !masked:
		return 0, violation("unmasked frame from a client")
	case in.side == client && masked:
		return 0, violation("masked frame from a server")
	}
	switch b[0] & opBits {
	case opContinuation:
		if in.open == 0 {
			return 0, violation("continuation of no message")
		}
	case opText, opBinary:
		if in.open != 0 {
			return 0, violation("new message within a fragmented one")
		}
	case opClose, opPing, opPong: // section 5.5
		if b[0]&finBit == 0 {
			return 0, violation("fragmented control frame")
		}
		if length > maxControl {
			return 0, violation("control frame of more than 125 bytes")
		}
	default:
		return 0, violation("unknown opcode")
	}
	n := prefixSize
	switch length {
	case length16:
		n += 2
	case length64:
		n += 8
	}
	if in.side == server {
		n += keySize
	}
	return n, nil
}

// header begins the frame of a whole header whose prefix is checked.
func (in *frameParser) header(b []byte) error {
	n := uint64(b[1] & lengthBits)
	switch n {
	case length16:
		n = uint64(binary.BigEndian.Uint16(b[prefixSize:]))
		if n < length16 {
			return violation("length not in the fewest bytes")
		}
	case length64:
		n = binary.BigEndian.Uint64(b[prefixSize:])
		if n>>63 != 0 {
			return violation("length of 2^63 bytes or more")
		}
		if n>>16 == 0 {
			return violation("length not in the fewest bytes")
		}
	}
	in.op, in.fin, in.left = b[0]&opBits, b[0]&finBit != 0, n
	if in.side == server {
		in.key = binary.LittleEndian.Uint32(b[len(b)-keySize:])
	}
	if in.control() {
		return nil
	}
	return in.fragment()
}

// fragment places a data frame within its message.
func (in *frameParser) fragment() error {
	if in.op == opContinuation {
		in.op = in.open
	}
	in.open = in.op
	if in.fin {
		in.open = 0
	}
	if in.fin || in.left > 0 {
		in.empty = 0
		return nil
	}
	if in.empty++; in.empty > maxEmptyFragments {
		return violation("too many empty fragments in a row")
	}
	return nil
}

// unmask takes the next bytes of the frame's payload, a client's in place.
func (in *frameParser) unmask(b []byte) {
	if in.side == server {
		in.key = mask(b, in.key)
	}
	in.left -= uint64(len(b))
}

// pass takes the next n bytes of a client's payload as they are, and returns the
// key under which they lie.
func (in *frameParser) pass(n int) (key uint32) {
	key = in.key
	in.key = keyAfter(key, n)
	in.left -= uint64(n)
	return key
}
