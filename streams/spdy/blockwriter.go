package spdy

import "encoding/binary"

// zlibHead begins a zlib stream, RFC 1950 section 2.2: deflate with a window of 32 KiB, no
// compression, and a preset dictionary, whose ID follows.
var zlibHead = [2]byte{0x78, 0x20}

// syncBlock is an empty stored block of deflate. A reader may hold inflated bytes back until a
// block of this kind arrives, or until its window is full.
var syncBlock = [5]byte{0x00, 0x00, 0x00, 0xff, 0xff}

// A blockWriter writes the header blocks of one direction, which form one zlib stream. It writes
// stored blocks (RFC 1951 section 3.2.4), so that it needs no memory of earlier blocks.
type blockWriter struct{ begun bool }

// append appends a header block to b. The parameter headers has pairs of a lower-case name and a
// value, together less than 64 KiB.
func (w *blockWriter) append(b []byte, headers ...string) []byte {
	if !w.begun {
		w.begun = true
		b = append(b, zlibHead[:]...)
		b = binary.BigEndian.AppendUint32(b, dictionaryID)
	}
	n := 4
	for _, s := range headers {
		n += 4 + len(s)
	}
	b = append(b, 0x00) // begins a stored block that is not the last of the zlib stream
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	b = binary.LittleEndian.AppendUint16(b, ^uint16(n))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)/2))
	for _, s := range headers {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return append(b, syncBlock[:]...)
}

// appendSynStream appends a SYN_STREAM that opens stream id.
func (w *blockWriter) appendSynStream(b []byte, id uint32, headers ...string) []byte {
	start := len(b)
	b = appendControl(b, kindSynStream, 0)
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, 0, 0, 0, 0, 0, 0) // fields of SYN_STREAM: no associated stream, priority 0, slot 0
	return setLength(w.append(b, headers...), start)
}

// appendSynReply appends a SYN_REPLY that accepts stream id.
func (w *blockWriter) appendSynReply(b []byte, id uint32) []byte {
	start := len(b)
	b = appendControl(b, kindSynReply, 0)
	b = binary.BigEndian.AppendUint32(b, id)
	return setLength(w.append(b), start)
}

// setLength sets the length field of the frame that begins at start and ends at the end of b.
func setLength(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(b)-start-headLen))
	return b
}
