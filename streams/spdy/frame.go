package spdy

import "encoding/binary"

// Control frame types, SPDY/3 draft section 2.6. What is not named here, known
// (SETTINGS 4, WINDOW_UPDATE 9, CREDENTIAL 10) or not, is skipped.
const (
	kindData      = 0 // no control frame; the draft has no type 0
	kindSynStream = 1
	kindSynReply  = 2
	kindRstStream = 3
	kindPing      = 6
	kindGoAway    = 7
	kindHeaders   = 8
)

const (
	flagFin            = 0x01
	flagUnidirectional = 0x02 // of SYN_STREAM; SPDY in Kubernetes has none
)

// Status of RST_STREAM, section 2.6.3. 0 is none, and moby/spdystream closes
// the connection that brings it.
const (
	resetRefused = 3
	resetCancel  = 5
)

// Lengths in bytes.
const (
	headLen    = 8
	idMask     = 1<<31 - 1
	controlBit = 0x80
	version    = 3

	synStreamLen = 10 // before the header block: id, associated id, priority, slot
	synReplyLen  = 4  // before the header block, also in HEADERS: id
	rstStreamLen = 8  // id, status
	goAwayLen    = 8  // last good id, status
	pingLen      = 4  // id

	// maxBlock bounds a header block on the wire. Kubernetes' are below 200.
	maxBlock = 16 << 10
	// maxControl bounds a control frame that is skipped.
	maxControl = 64 << 10
)

// A head is what stands in the first 8 bytes of a frame.
type head struct {
	kind   uint16
	flags  byte
	length int    // of what follows
	id     uint32 // the stream, in data frames only
}

func (h head) bounds(low, high int) error {
	if h.length < low || h.length > high {
		return violation("a control frame of type %d and %d bytes", h.kind, h.length)
	}
	return nil
}

// AppendPing appends a PING frame to dst. Ids of a client are odd, ids of a
// server even, and not 0.
func AppendPing(dst []byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(appendControl(dst, kindPing, pingLen), id)
}

func putData(b []byte, id uint32, flags byte, n int) {
	binary.BigEndian.PutUint32(b, id)
	binary.BigEndian.PutUint32(b[4:], uint32(flags)<<24|uint32(n))
}

// appendControl appends the head of a control frame without flags.
func appendControl(b []byte, kind uint16, n int) []byte {
	b = append(b, controlBit, version)
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendReset(b []byte, id, status uint32) []byte {
	if status == 0 {
		status = resetCancel
	}
	b = appendControl(b, kindRstStream, rstStreamLen)
	b = binary.BigEndian.AppendUint32(b, id)
	return binary.BigEndian.AppendUint32(b, status)
}
