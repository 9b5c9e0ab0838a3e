package ws

import "encoding/binary"

// maxEmptyFragments limits how many fragments without payload may follow one another within a
// message. Complete empty messages have no limit: some clients send them as a heartbeat, and they
// cost no more than a ping.
const maxEmptyFragments = 64

// frameParser holds the state of parsing the peer's frames.
type frameParser struct {
	side  side   // edge's side of the connection: client or server
	op    byte   // opcode of the current frame, or of its message if it is a continuation frame
	fin   bool   // true: the current frame is the last of its message
	left  uint64 // bytes of the current frame's payload that are still to come
	key   uint32 // masking key, rotated: its lowest byte is for the next byte of payload
	open  byte   // opcode of a fragmented message that is not complete; 0: none
	empty int    // number of fragments without payload in a row
}

func (in *frameParser) control() bool { return in.op&controlBit != 0 }

// prefix checks the first two bytes of a frame and returns the size of the frame's header in bytes.
// It does not change the parser, so it may be called again with the same bytes.
func (in *frameParser) prefix(b []byte) (int, error) {
	length := b[1] & lengthBits
	if b[0]&rsvBits != 0 {
		return 0, violation("reserved bits set, but no extension was negotiated")
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
			return 0, violation("continuation frame without a message")
		}
	case opText, opBinary:
		if in.open != 0 {
			return 0, violation("new message before the last fragment of the previous one")
		}
	case opClose, opPing, opPong: // control frames: RFC 6455 section 5.5
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

// header parses a complete frame header, whose first two bytes the method prefix has already
// checked, and begins the frame.
func (in *frameParser) header(b []byte) error {
	n := uint64(b[1] & lengthBits)
	switch n {
	case length16:
		n = uint64(binary.BigEndian.Uint16(b[prefixSize:]))
		if n < length16 {
			return violation("frame length not in its shortest form")
		}
	case length64:
		n = binary.BigEndian.Uint64(b[prefixSize:])
		if n>>63 != 0 {
			return violation("frame length of 2^63 bytes or more")
		}
		if n>>16 == 0 {
			return violation("frame length not in its shortest form")
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

// fragment records where a data frame is within its message, and limits empty fragments.
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

// unmask consumes the next bytes b of the frame's payload. If a client sent them, it unmasks them
// in place.
func (in *frameParser) unmask(b []byte) {
	if in.side == server {
		in.key = mask(b, in.key)
	}
	in.left -= uint64(len(b))
}

// pass consumes the next n bytes of a client's payload without unmasking them. It returns the
// masking key for the first of these bytes.
func (in *frameParser) pass(n int) (key uint32) {
	key = in.key
	in.key = keyAfter(key, n)
	in.left -= uint64(n)
	return key
}
