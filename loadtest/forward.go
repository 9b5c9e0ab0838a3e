package main

import (
	"io"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// forwardLink is a port-forward of one connection to a port that says what it is told.
type forwardLink struct {
	tunnel *ws.Tunnel // nil: SPDY is not tunnelled
	reader *streams.Reader
	source streams.Source
	sink   streams.Sink

	data, failure           streams.Stream
	dataEnded, failureEnded bool
}

func forwardOverSPDY(w *wire, port uint16) (link, error) { return newForward(w, nil, port) }

func forwardOverTunnel(w *wire, port uint16) (link, error) {
	return newForward(w, ws.NewClientTunnel(w, w, w), port)
}

func newForward(w *wire, tunnel *ws.Tunnel, port uint16) (link, error) {
	var in io.Reader = w
	var out streams.Writer = w
	var replier streams.Replier = w
	if tunnel != nil {
		in, out, replier = tunnel, tunnel, ws.ClientTunnelReplier(w)
	}
	table := new(spdy.Table)
	l := &forwardLink{tunnel: tunnel, reader: streams.NewReader(in, nil)}
	l.source = spdy.NewPortsSource(l.reader, replier, table)
	l.sink = spdy.NewPortsSink(out, table)
	l.data, l.failure = streams.PortStreams(0)
	return l, spdy.OpenPorts(out, table, []uint16{port})
}

func (l *forwardLink) send(b []byte, off int) error {
	return writeNow(l.sink, streams.Frame{Kind: streams.Data, Stream: l.data, Buf: b, Off: off})
}

func (l *forwardLink) finish() error {
	return writeNow(l.sink, streams.Frame{Kind: streams.HalfClose, Stream: l.data})
}

// bye ends the session as client-go does when its last connection has ended.
func (l *forwardLink) bye() {
	_ = writeNow(l.sink, streams.Frame{Kind: streams.Close})
	if l.tunnel != nil {
		_ = l.tunnel.WriteClose(streams.CloseNormal)
	}
}

func (l *forwardLink) release() { l.reader.Close() }

// receive gives the port's bytes, and io.EOF when the pod ended the connection without a word on its error stream.
func (l *forwardLink) receive() ([]byte, error) {
	for {
		f, err := l.source.Next()
		if err != nil {
			return nil, l.why(err)
		}
		isError := f.Stream == l.failure
		switch f.Kind {
		case streams.Data:
			if isError {
				return nil, faultf(classForward, "%s", short(f.Payload()))
			}
			return f.Payload(), nil
		case streams.HalfClose:
			l.failureEnded = l.failureEnded || isError
			l.dataEnded = l.dataEnded || !isError
		case streams.Reset:
			return nil, faultf(classReset, "the connection's stream was reset with %d", f.Code)
		case streams.Close:
			return nil, faultf(classEarly, "the server said goodbye before the connection ended")
		}
		if l.dataEnded && l.failureEnded {
			return nil, io.EOF
		}
	}
}

// why tells the tunnel's own end from the connection's.
func (l *forwardLink) why(err error) error {
	if l.tunnel != nil {
		if code, closed := l.tunnel.Closed(); closed {
			return faultf(closeClass(uint32(code)), "the server closed the tunnel with %d before the connection ended", code)
		}
	}
	return unexpected(err)
}
