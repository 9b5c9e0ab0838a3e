package main

import (
	"errors"
	"io"

	"edge/streams"
)

// link is the client's end of an echo session, above a codec. One goroutine calls receive. The
// other methods are called by one goroutine at a time.
type link interface {
	// send sends b[off:], and may overwrite all of b.
	send(b []byte, off int) error
	// receive returns bytes that came back, valid until the next call. The error is io.EOF itself
	// if the session ended as it should.
	receive() ([]byte, error)
	// finish half-closes: the client sends no more data after it.
	finish() error
	// bye sends the client's close after the server has ended the session. Errors are ignored.
	bye()
	// release frees the buffers, after the last receive.
	release()
}

// writeNow writes a frame and flushes it.
func writeNow(sink streams.Sink, f streams.Frame) error {
	if f.Buf == nil {
		f.Buf, f.Off = make([]byte, streams.Headroom), streams.Headroom
	}
	if err := sink.Write(f); err != nil {
		return err
	}
	return sink.Flush()
}

// unexpected replaces io.EOF of the connection by another error, because io.EOF stands for the
// regular end of a session.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return faultf(classEOF, "the server closed the connection before the session ended")
	}
	return err
}
