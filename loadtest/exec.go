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

// execSet is what every exec asks for. stderr is there to hear why a command does not run.
var execSet = streams.Set{Stdin: true, Stdout: true, Stderr: true}

// execLink is an exec whose command says what it is told.
type execLink struct {
	reader *streams.Reader
	source streams.Source
	sink   streams.Sink
	closes bool // the server ends the session by a Close, and nothing else is an end
	ended  bool // the Status came, a success
}

func execOverWebSocket(w *wire, _ uint16) (link, error) {
	reader := streams.NewReader(w, nil)
	return &execLink{
		reader: reader,
		source: ws.NewExecClientSource(reader, w, ws.V5Channel),
		sink:   ws.NewExecClientSink(w, ws.V5Channel),
		closes: true,
	}, nil
}

func execOverSPDY(w *wire, _ uint16) (link, error) {
	reader := streams.NewReader(w, nil)
	sink := spdy.NewExecClientSink(w, execSet)
	return &execLink{reader: reader, source: spdy.NewExecClientSource(reader, w, execSet), sink: sink}, sink.Open()
}

func (l *execLink) send(b []byte, off int) error {
	return writeNow(l.sink, streams.Frame{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Buf: b, Off: off})
}

func (l *execLink) finish() error {
	return writeNow(l.sink, streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}})
}

// bye answers the server's Close. On SPDY there is nothing to say.
func (l *execLink) bye() {
	_ = writeNow(l.sink, streams.Frame{Kind: streams.Close, Code: streams.CloseNormal})
}

func (l *execLink) release() { l.reader.Close() }

// receive gives output, and io.EOF when the session ended by a Status of success.
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
			return nil, faultf(classWrong, "output after the status")
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

// closed judges the end that the server announces: on SPDY with GOAWAY's status, which is below all close codes.
func (l *execLink) closed(code uint32) error {
	switch {
	case code > streams.CloseNormal:
		return faultf(closeClass(code), "the server closed the session with %d", code)
	case !l.ended:
		return faultf(classNoStatus, "the server closed the session without one")
	}
	return io.EOF
}

func success(payload []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(payload, &status); err != nil {
		return faultf(classStatus, "it is no JSON: %s", short(payload))
	}
	if status.Status != metav1.StatusSuccess {
		return faultf(classStatus, "%s: %s", status.Status, short([]byte(status.Message)))
	}
	return nil
}
