package main

import (
	"io"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// forwardLink is the client's end of a port-forward session with one connection to an echo server
// in the pod.
type forwardLink struct {
	tunnel *ws.Tunnel // the tunnel that carries SPDY in WebSocket; nil: SPDY directly on the connection
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

// bye closes a port-forward session after its forwarded connection has ended, as client-go does:
// with a GOAWAY frame of SPDY and, in a tunnel, a WebSocket close frame.
func (l *forwardLink) bye() {
	_ = writeNow(l.sink, streams.Frame{Kind: streams.Close})
	if l.tunnel != nil {
		_ = l.tunnel.WriteClose(streams.CloseNormal)
	}
}

func (l *forwardLink) release() { l.reader.Close() }

// receive returns bytes from the pod's port. It returns io.EOF when the data stream and the error
// stream have ended and the error stream was empty.
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
			return nil, faultf(classReset, "the server reset a stream of the forwarded connection with status %d", f.Code)
		case streams.Close:
			return nil, faultf(classEarly, "the server closed the session before the forwarded connection ended")
		}
		if l.dataEnded && l.failureEnded {
			return nil, io.EOF
		}
	}
}

// why is the method that returns a better error for a failed read: whether the server closed the
// tunnel with a WebSocket close frame, or the connection ended.
func (l *forwardLink) why(err error) error {
	if l.tunnel != nil {
		if code, closed := l.tunnel.Closed(); closed {
			return faultf(closeClass(uint32(code)), "the server closed the tunnel with code %d before the forwarded connection ended", code)
		}
	}
	return unexpected(err)
}
