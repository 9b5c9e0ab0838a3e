package main

import (
	"errors"
	"io"

	"edge/streams"
)

// link is the client's end of an echo, above a codec. One goroutine calls receive, one at a time the others.
type link interface {
	// send says b[off:], and may overwrite all of b.
	send(b []byte, off int) error
	// receive gives what comes back, valid until the next call. It is io.EOF when the session ended as it should.
	receive() ([]byte, error)
	// finish says that no more will be sent.
	finish() error
	// bye answers the end, as far as the other side still listens.
	bye()
	// release gives memory back, after the last receive.
	release()
}

// writeNow writes a frame at once.
func writeNow(sink streams.Sink, f streams.Frame) error {
	if f.Buf == nil {
		f.Buf, f.Off = make([]byte, streams.Headroom), streams.Headroom
	}
	if err := sink.Write(f); err != nil {
		return err
	}
	return sink.Flush()
}

// unexpected keeps the connection's end from being taken for the session's.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return faultf(classEOF, "the server ended the connection, and not the session")
	}
	return err
}
