package spdy

import "encoding/binary"

// Control frame types, SPDY/3 draft section 2.6. All other types are skipped: known ones (SETTINGS
// 4, WINDOW_UPDATE 9, CREDENTIAL 10) and unknown ones.
const (
	kindData      = 0 // a data frame, not a control frame; the draft has no type 0
	kindSynStream = 1
	kindSynReply  = 2
	kindRstStream = 3
	kindPing      = 6
	kindGoAway    = 7
	kindHeaders   = 8
)

const (
	flagFin            = 0x01
	flagUnidirectional = 0x02 // flag of SYN_STREAM that Kubernetes does not use
)

// Status codes of RST_STREAM, SPDY/3 draft section 2.6.3. 0 is not a valid code: moby/spdystream
// closes a connection on which 0 arrives.
const (
	resetRefused = 3
	resetCancel  = 5
)

// Lengths of frame parts in bytes, and limits.
const (
	headLen    = 8
	idMask     = 1<<31 - 1
	controlBit = 0x80
	version    = 3

	synStreamLen = 10 // length before the header block: ID, associated ID, priority, slot
	synReplyLen  = 4  // length before the header block, also in HEADERS: ID
	rstStreamLen = 8  // length of ID and status
	goAwayLen    = 8  // length of last good ID and status
	pingLen      = 4  // length of the ID

	// maxBlock limits a compressed header block, in bytes. The header blocks of Kubernetes are
	// below 200 bytes.
	maxBlock = 16 << 10
	// maxControl limits the length in bytes of a control frame that the source skips.
	maxControl = 64 << 10
)

// A head holds the parsed first 8 bytes of a SPDY frame.
type head struct {
	kind   uint16
	flags  byte
	length int    // bytes of the frame after the first 8
	id     uint32 // stream ID, in data frames only
}

func (h head) bounds(low, high int) error {
	if h.length < low || h.length > high {
		return violation("a control frame of type %d with invalid length %d", h.kind, h.length)
	}
	return nil
}

func putData(b []byte, id uint32, flags byte, n int) {
	binary.BigEndian.PutUint32(b, id)
	binary.BigEndian.PutUint32(b[4:], uint32(flags)<<24|uint32(n))
}

// appendControl appends the header of a control frame without flags.
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
