package main

import (
	"encoding/json"
	"errors"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// execSet is the set of streams that every exec requests. stderr shows why a command fails.
var execSet = streams.Set{Stdin: true, Stdout: true, Stderr: true}

// execLink is the client's end of an exec session whose command copies its input to its output.
type execLink struct {
	reader *streams.Reader
	source streams.Source
	sink   streams.Sink
	closes bool // true for WebSocket: only a close frame ends the session; for SPDY the end of the connection does too
	ended  bool // the server has sent a Status of success
}

func execOverWebSocket(w *wire, _ uint16) (link, error) {
	reader := streams.NewReader(w, nil)
	return &execLink{
		reader: reader,
		source: ws.NewExecUpstreamSource(reader, w, ws.V5Channel),
		sink:   ws.NewExecUpstreamSink(w, ws.V5Channel),
		closes: true,
	}, nil
}

func execOverSPDY(w *wire, _ uint16) (link, error) {
	reader := streams.NewReader(w, nil)
	sink := spdy.NewExecUpstreamSink(w, execSet)
	return &execLink{reader: reader, source: spdy.NewExecUpstreamSource(reader, w, execSet), sink: sink}, sink.Open()
}

func (l *execLink) send(b []byte, off int) error {
	return writeNow(l.sink, streams.Frame{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Buf: b, Off: off})
}

func (l *execLink) finish() error {
	return writeNow(l.sink, streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}})
}

// bye answers the server's WebSocket close frame. On SPDY it sends nothing.
func (l *execLink) bye() {
	_ = writeNow(l.sink, streams.Frame{Kind: streams.Close, Code: streams.CloseNormal})
}

func (l *execLink) release() { l.reader.Close() }

// receive returns output of the command, or io.EOF after a Status of success and the end of the
// session.
func (l *execLink) receive() ([]byte, error) {
	for {
		f, err := l.source.Next()
		switch {
		case errors.Is(err, io.EOF) && l.ended && !l.closes:
			return nil, io.EOF
		case err != nil:
			return nil, unexpected(err)
		}
		switch {
		case f.Kind == streams.Data && l.ended:
			return nil, faultf(classWrong, "output after the Status")
		case f.Kind == streams.Data && f.Stream.Role == streams.Stderr:
			return nil, faultf(classStderr, "%s", short(f.Payload()))
		case f.Kind == streams.Data:
			return f.Payload(), nil
		case f.Kind == streams.Status:
			if err := success(f.Payload()); err != nil {
				return nil, err
			}
			l.ended = true
		case f.Kind == streams.Reset && f.Stream.Role == streams.Error && !l.ended:
			return nil, faultf(classNoStatus, "the error stream was reset")
		case f.Kind == streams.Close:
			return nil, l.closed(f.Code)
		}
	}
}

// closed decides from the server's close code whether the session ended as it should: then it
// returns io.EOF. On SPDY the code is the status in the GOAWAY frame. Such a status is less than
// all WebSocket close codes, so closed does not report it as an error.
func (l *execLink) closed(code uint32) error {
	switch {
	case code > streams.CloseNormal:
		return faultf(closeClass(code), "the server closed the session with %d", code)
	case !l.ended:
		return faultf(classNoStatus, "the server closed the session without a Status")
	}
	return io.EOF
}

func success(payload []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(payload, &status); err != nil {
		return faultf(classStatus, "invalid JSON: %s", short(payload))
	}
	if status.Status != metav1.StatusSuccess {
		return faultf(classStatus, "%s: %s", status.Status, short([]byte(status.Message)))
	}
	return nil
}
