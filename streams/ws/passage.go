package ws

import "encoding/binary"

// A Passage follows the frames of one peer on a WebSocket whose bytes pass unread,
// so that its holder can say pings of its own between them, and take the pongs that
// answer those out. It judges nothing: each other byte passes as it came, reserved
// bits, masks, and what breaks the rules. A frame's payload is never held.
//
// What it reads is only how long each frame is, so that no peer can lead it astray.
// The zero Passage, with Own set, stands before the first frame.
type Passage struct {
	// Own is the payload of the holder's pings.
	Own [OwnSize]byte

	left uint64 // bytes of the frame at hand that are still to pass
	seen Seen
}

// OwnSize is the length, in bytes, of a payload that tells one's own pings from
// others.
const OwnSize = 8

// MaxHeld is the most that a Passage leaves unpassed, in bytes: a pong, masked, or
// all of a header but its last byte.
const MaxHeld = prefixSize + keySize + OwnSize

// Seen says which control frames have passed.
type Seen struct {
	Ping  bool // after which a pong may answer it alone, and no earlier ping
	Close bool // the peer's last frame
}

// Scan looks at what comes next. b[:pass] passes; after it b[pass:pass+drop] is a
// pong of one's own, or nothing. If drop is 0, what is left of b is at most MaxHeld
// bytes, of a frame that is not decided yet: it is the begin of the next b.
func (p *Passage) Scan(b []byte) (pass, drop int) {
	for pass < len(b) {
		if p.left > 0 {
			n := min(p.left, uint64(len(b)-pass))
			p.left -= n
			pass += int(n)
			continue
		}
		n, ok := p.begin(b[pass:])
		if !ok {
			return pass, 0
		}
		if n > 0 {
			return pass, n
		}
	}
	return pass, 0
}

// Between tells whether what has passed ends between two frames.
func (p *Passage) Between() bool { return p.left == 0 }

// Seen returns what has passed since it was asked last.
func (p *Passage) Seen() (s Seen) {
	s, p.seen = p.seen, Seen{}
	return s
}

// begin reads the header of a frame, as far as it is there, and returns the length
// of a pong of one's own.
func (p *Passage) begin(b []byte) (own int, ok bool) {
	if len(b) < prefixSize {
		return 0, false
	}
	header := prefixSize
	n := uint64(b[1] & lengthBits)
	switch n {
	case length16:
		header += 2
	case length64:
		header += 8
	}
	masked := b[1]&maskBit != 0
	key := header
	if masked {
		header += keySize
	}
	if len(b) < header {
		return 0, false
	}
	switch n {
	case length16:
		n = uint64(binary.BigEndian.Uint16(b[prefixSize:]))
	case length64:
		n = binary.BigEndian.Uint64(b[prefixSize:])
	}
	if b[0] == finBit|opPong && b[1]&lengthBits == OwnSize {
		if len(b) < header+OwnSize {
			return 0, false
		}
		said := [OwnSize]byte(b[header:])
		if masked {
			mask(said[:], binary.LittleEndian.Uint32(b[key:]))
		}
		if said == p.Own {
			return header + OwnSize, true
		}
	}
	switch b[0] & opBits {
	case opPing:
		p.seen.Ping = true
	case opClose:
		p.seen.Close = true
	}
	p.left = uint64(header)
	if p.left += n; p.left < n { // longer than can be counted, or ever come
		p.left = 1<<64 - 1
	}
	return 0, true
}
