package rawclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"edge/e2e/testbed/cluster"
)

// Forward describes a port-forward session, and what the client does while the session is open.
type Forward struct {
	Namespace string // namespace of the pod; empty: cluster.Namespace
	Pod       string
	Ports     []int // ports of the pod; the client opens one connection for each

	// Do runs once for each forwarded connection, all at the same time; i is the connection's index
	// in Ports. When all calls have returned, the client closes the session. Dialect.Forward
	// returns the first error of these calls.
	Do func(i int, c *Connection) error
}

// Connection is one forwarded connection of a port-forward session.
type Connection struct {
	w      wire
	n      int
	gaveUp <-chan struct{}
	data   *recorder
	said   *recorder // what the client has received on the error stream
	// WebSocket: the number of bytes of the port number that the client still expects at the start
	// of the data channel and of the error channel
	prefix [2]int
	port   int

	mu     sync.Mutex
	broken string
	ended  bool
}

// Write sends the bytes in p on the forwarded connection.
func (c *Connection) Write(p []byte) (int, error) { return len(p), c.w.write(2*c.n, p) }

// End half-closes the forwarded connection. It returns ErrCannotSay with WebSocket channels, which
// cannot express that.
func (c *Connection) End() error { return c.w.end(2 * c.n) }

// Reset resets the data stream of the forwarded connection. It returns ErrCannotSay with WebSocket
// channels, which cannot express that.
func (c *Connection) Reset() error { return c.w.reset(2 * c.n) }

// Await waits until the client has received at least n bytes on the forwarded connection.
func (c *Connection) Await(n int64) error { return c.data.waitBytes(c.gaveUp, n) }

// AwaitError waits until the client has received at least one byte on the error stream.
func (c *Connection) AwaitError() error { return c.said.waitBytes(c.gaveUp, 1) }

// AwaitEnd waits until the server has ended its side of the forwarded connection. It returns
// ErrCannotSay with WebSocket channels, which cannot express that.
func (c *Connection) AwaitEnd() error {
	if _, ok := c.w.(*frames); !ok {
		return ErrCannotSay
	}
	err := c.data.wait(c.gaveUp, func(int64, []byte) bool { return false })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	return err
}

// Forward runs the port-forward f until the session ends, and returns what the client observed. An
// error means that the client itself could not do what f describes.
func (d Dialect) Forward(ctx context.Context, to cluster.Access, f Forward) (Observation, error) {
	o := Observation{Start: -1, Close: abnormal}
	query := url.Values{}
	if !d.SPDY {
		for _, port := range f.Ports {
			query.Add("ports", strconv.Itoa(port))
		}
	}
	w, subprotocol, err := d.dial(ctx, to, podURI(f.Namespace, f.Pod, "portforward")+"?"+query.Encode())
	if err != nil {
		return refusal(err)
	}
	o.Subprotocol = subprotocol
	defer context.AfterFunc(ctx, func() { w.conn().Close() })()
	conns := make([]*Connection, len(f.Ports))
	for i, port := range f.Ports {
		conns[i] = &Connection{w: w, n: i, gaveUp: ctx.Done(), data: newRecorder(), said: newRecorder(), port: port}
		if !d.SPDY {
			conns[i].prefix = [2]int{2, 2}
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Close = w.read(func(stream int, p []byte, kind eventKind) { conns[stream/2].event(stream%2, p, kind) })
		for _, c := range conns {
			c.data.end()
			c.said.end()
		}
	}()
	err = runConnections(f, w, conns)
	w.bye()
	if d.SPDY && !d.Tunnel {
		// An SPDY server does not answer GOAWAY, so the client also half-closes the TCP
		// connection. The server then ends the session.
		halfClose(w.conn())
	}
	select {
	case <-done:
	case <-time.After(mostFarewell):
		o.Hung = true
		w.conn().Close()
		<-done
	}
	o.Hung = !farewell(w.conn()) || o.Hung
	o.Hung = o.Hung || ctx.Err() != nil
	o.Breach = w.breach()
	for _, c := range conns {
		o.Conns = append(o.Conns, Conn{Output: c.data.output(), Error: c.said.output().Head, Ended: c.ended})
		if c.broken != "" {
			o.Breach = c.broken
		}
	}
	return o, err
}

func runConnections(f Forward, w wire, conns []*Connection) error {
	if s, ok := w.(*frames); ok {
		for _, c := range conns {
			if err := s.openForward(c); err != nil {
				return err
			}
		}
	}
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { errs[i] = f.Do(i, c) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

// openForward opens the data stream and the error stream of a forwarded connection. It half-closes
// the error stream at once, as client-go does.
func (w *frames) openForward(c *Connection) error {
	header := http.Header{"Port": {strconv.Itoa(c.port)}, "Requestid": {strconv.Itoa(c.n)}, "Streamtype": {"error"}}
	if err := w.open(2*c.n+1, header); err != nil {
		return err
	}
	if err := w.awaitReplies(1); err != nil {
		return err
	}
	if err := w.end(2*c.n + 1); err != nil {
		return err
	}
	header = header.Clone()
	header.Set("Streamtype", "data")
	if err := w.open(2*c.n, header); err != nil {
		return err
	}
	return w.awaitReplies(1)
}

// event handles what arrived on a stream of the forwarded connection. If the parameter named which
// is 0, this is the data stream; if it is 1, the error stream. The goroutine that reads the session
// calls event.
func (c *Connection) event(which int, p []byte, kind eventKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind != isData {
		if which == 0 {
			c.ended = true
			c.data.end()
		} else {
			c.said.end()
		}
		return
	}
	// the first message of each WebSocket channel contains only the port number
	if c.prefix[which] > 0 {
		c.prefix[which] = 0
		if want := binary.LittleEndian.AppendUint16(nil, uint16(c.port)); !bytes.Equal(p, want) {
			c.broken = fmt.Sprintf("the first message of a channel is % x, not port %d", p, c.port)
		}
		return
	}
	if which == 0 {
		c.data.Write(p)
	} else {
		c.said.Write(p)
	}
}
