package main

import (
	"errors"
	"io"

	"edge/streams"
)

// link is the client's end of an echo session (exec or port-forward). It encodes and decodes the
// session's protocol. One goroutine calls receive. The other methods are called by one goroutine at
// a time.
type link interface {
	// send sends b[off:] as data of the session, and may overwrite all of b.
	send(b []byte, off int) error
	// receive returns bytes that the server echoed. They are valid until the next call. The error
	// is io.EOF itself if the session ended as it should.
	receive() ([]byte, error)
	// finish half-closes the session: the client sends no more data after that.
	finish() error
	// bye sends the client's part of the close after the server has ended the session. It ignores
	// errors.
	bye()
	// release frees the link's buffers. It is called after the last receive.
	release()
}

// writeNow writes a frame to the sink (the encoder of the connection) and flushes the sink, so that
// the frame is sent at once.
func writeNow(sink streams.Sink, f streams.Frame) error {
	if f.Buf == nil {
		f.Buf, f.Off = make([]byte, streams.Headroom), streams.Headroom
	}
	if err := sink.Write(f); err != nil {
		return err
	}
	return sink.Flush()
}

// unexpected replaces io.EOF by another error if the connection ended too early, because io.EOF
// from a link (the client's end of a session) stands for the regular end of the session.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return faultf(classEOF, "the server closed the connection before the session ended")
	}
	return err
}
