package streams

// Kind says what a frame does to its stream, or to the session.
type Kind uint8

const (
	// Open asks for a new stream. Payload: the SPDY header block as it came
	// (compressed, see Frame.Payload); only port-forward relays opens.
	Open Kind = iota + 1
	// Accept answers an Open. Payload: the SPDY header block as it came.
	Accept
	// Headers adds a header block to an open stream. It means nothing to
	// Kubernetes, but shares the zlib state of Open and Accept, so it has to
	// travel between two SPDY legs. Other sinks drop it.
	Headers
	// Data carries bytes of a stream; they may be cut anywhere.
	Data
	// HalfClose ends one direction of a stream: no more Data will come.
	HalfClose
	// Reset ends both directions of a stream at once. Code: the SPDY status.
	Reset
	// Resize carries one whole terminal size, the JSON {"Width":w,"Height":h}.
	Resize
	// Status carries the whole outcome of an exec or attach: a metav1.Status as
	// JSON from v4 on, plain text before it (empty: success).
	Status
	// Close announces the end of the session: a WebSocket Close or a SPDY
	// GOAWAY. Code: the close code (0: none was given) or the GOAWAY status.
	Close
)

// Role says what a stream is for.
type Role uint8

const (
	Stdin Role = iota + 1
	Stdout
	Stderr
	Error
	Terminal // sizes, in Kubernetes' words the "resize" stream
	Port     // a port-forward stream, data or error; its ID tells which
)

// Stream names a stream. ID is 0 for the five streams of exec and attach, of
// which there is one each, and the SPDY stream id for Port.
type Stream struct {
	Role Role
	ID   uint32
}

// Frame is one step of a session, in a vocabulary that knows no dialect.
//
// Buf[Off:] is the payload. Buf[:Off] is room that whoever holds the frame may
// overwrite, so that a sink can put its header in front and write once; a
// source gives at least Headroom bytes of it. Both belong to the source and are
// valid until its next call of Next.
//
// Mask is 0, or the key under which a WebSocket client's payload still lies (RFC
// 6455 section 5.3), its lowest byte for Buf[Off]. Only a source that was asked to
// leaves one, and only on Data of at least Small bytes; see
// [edge/streams/ws.ExecServerSource.KeepMasks].
type Frame struct {
	Kind   Kind
	Stream Stream
	Code   uint32
	Mask   uint32
	Buf    []byte
	Off    int
}

// Payload is the frame's bytes without the room before them.
func (f *Frame) Payload() []byte { return f.Buf[f.Off:] }

const (
	// Headroom is the room, in bytes, before every payload: a SPDY data header
	// (8) in a masked WebSocket message (14) fits, with the channel byte.
	Headroom = 24
	// MaxData is the most payload, in bytes, that a source puts in one Data
	// frame, and a sink in one frame or message of its own: what io.Copy writes
	// at a time, and little enough that a pong or a close soon finds a gap.
	MaxData = 32 << 10
	// MaxStatus bounds a Status, in bytes; a longer one is a protocol error.
	MaxStatus = 64 << 10
	// MaxResize bounds a Resize, in bytes.
	MaxResize = 256
	// Small is the payload size, in bytes, below which a sink collects frames
	// by copying: a record or a system call costs more than the copy.
	Small = 4 << 10
)
