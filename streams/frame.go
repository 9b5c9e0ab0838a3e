package streams

// Kind is the kind of a Frame: its effect on a stream or on the session.
type Kind uint8

const (
	// Open requests a new stream. Its payload is the SPDY header block as received (compressed).
	// Only port-forward relays Open frames.
	Open Kind = iota + 1
	// Accept answers an Open. Its payload is the SPDY header block as received (compressed).
	Accept
	// Headers adds a header block to an open stream. Kubernetes ignores it. The block shares the
	// zlib state of Open and Accept, so it must be relayed between two SPDY connections. Other
	// sinks drop it.
	Headers
	// Data carries bytes of a stream. One write of the sender may arrive as several Data frames.
	Data
	// HalfClose ends one direction of a stream: no more Data follows in that direction.
	HalfClose
	// Reset ends both directions of a stream at once. Its Code is the SPDY status.
	Reset
	// Resize carries one complete terminal size, the JSON {"Width":w,"Height":h}.
	Resize
	// Status carries the complete result of an exec or attach: a metav1.Status as JSON in
	// subprotocol v4 and later, plain text before v4 (empty: success).
	Status
	// Close announces the end of the session: a WebSocket close frame or a SPDY GOAWAY. Its Code is
	// the close code (0: none was sent) or the GOAWAY status.
	Close
)

// Role is the purpose of a stream.
type Role uint8

const (
	Stdin Role = iota + 1
	Stdout
	Stderr
	Error
	Terminal // terminal sizes; Kubernetes calls this stream "resize"
	Port     // a data or error stream of port-forward; see Stream.ID
)

// Stream names a stream. ID is 0 for the five streams of exec and attach, which exist at most once
// per session. For Port, ID is the SPDY stream ID.
type Stream struct {
	Role Role
	ID   uint32
}

// Frame is one step of a session, independent of the dialect.
//
// Buf[Off:] is the payload. Buf[:Off] is room: free bytes that the holder of the frame may
// overwrite, so that a sink can write its header and the payload at once. A source leaves at least
// Headroom bytes of room. Buf belongs to the source and is valid until the next call of Next.
//
// Mask is 0, or the WebSocket masking key (RFC 6455 section 5.3) with which the payload is still
// masked. The lowest byte of Mask is for Buf[Off]. A source leaves payload masked only if KeepMasks
// was set, and only on Data of at least Small bytes; see
// [edge/streams/ws.ExecDownstreamSource.KeepMasks].
type Frame struct {
	Kind   Kind
	Stream Stream
	Code   uint32
	Mask   uint32
	Buf    []byte
	Off    int
}

// Payload returns the frame's bytes without the free bytes before them.
func (f *Frame) Payload() []byte { return f.Buf[f.Off:] }

const (
	// Headroom is the number of free bytes before every payload. A SPDY data header (8 bytes) in a
	// masked WebSocket message (header of 14 bytes) fits, with the channel byte.
	Headroom = 24
	// MaxData limits the payload, in bytes, of one Data frame from a source, and of one frame or
	// message that a sink writes. io.Copy writes 32 KiB at a time too. The limit is small enough
	// that a pong or close is not delayed for long.
	MaxData = 32 << 10
	// MaxStatus limits a Status, in bytes; a longer Status is a protocol error.
	MaxStatus = 64 << 10
	// MaxResize limits a Resize, in bytes.
	MaxResize = 256
	// Small is a payload size in bytes. A sink copies frames with less payload into a Batch: for
	// small payloads a TLS record or a system call costs more than the copy.
	Small = 4 << 10
)
