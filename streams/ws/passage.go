package ws

import "encoding/binary"

// A Passage follows one peer's frames on a WebSocket whose bytes pass through without a codec. It
// lets edge send its own pings between frames, and remove the pongs that answer these pings. A
// Passage does not check the protocol: every other byte passes unchanged, reserved bits, masks and
// protocol errors included. It never holds a frame's payload.
//
// A Passage parses only the length of each frame, so invalid frames cannot confuse it. The zero
// Passage, with Own set, is before the first frame.
type Passage struct {
	// Own is the payload of the pings that edge sends itself.
	Own [OwnSize]byte

	left uint64 // bytes of the current frame that have not passed yet
	seen Seen
}

// OwnSize is the size in bytes of the payload of edge's own pings. The payload distinguishes them
// from other pings.
const OwnSize = 8

// MaxHeld is an upper limit for the bytes that Scan leaves undecided: the size of a masked pong for
// edge's own ping, or of the longest header.
const MaxHeld = prefixSize + keySize + OwnSize

// Seen states which control frames have passed.
type Seen struct {
	Ping  bool // true: a ping passed; the next pong may answer this ping and no earlier one
	Close bool // true: a Close passed, which is the peer's last frame
}

// Scan examines the peer's next bytes b. The caller passes on b[:pass] and drops b[pass:pass+drop],
// which is a pong for edge's own ping or empty. If drop is 0, the rest of b is at most MaxHeld
// bytes of an undecided frame. The caller puts that rest at the beginning of the next b.
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

// Between reports whether the bytes that Scan has let pass end between two frames.
func (p *Passage) Between() bool { return p.left == 0 }

// Seen returns which control frames have passed since the last call of Seen.
func (p *Passage) Seen() (s Seen) {
	s, p.seen = p.seen, Seen{}
	return s
}

// begin parses the header of the frame at the beginning of b. ok is false if b has too few bytes of
// the frame. own is the size of the frame if it is a pong for edge's own ping, and 0 otherwise.
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
	// If the sum overflows, the frame is longer than any peer can send: use the largest number.
	if p.left += n; p.left < n {
		p.left = 1<<64 - 1
	}
	return 0, true
}
