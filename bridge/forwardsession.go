package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// A forwardSession is one upstream session of a fanout: dialed by the connection
// that needs it first, read by a goroutine of its own.
type forwardSession struct {
	f     *fanout
	ready chan struct{} // closed when it was dialed
	err   error         // why that failed

	// Set when it is ready.
	leg    *leg
	reader *streams.Reader
	down   direction  // from upstream to the client
	tunnel *ws.Tunnel // nil: SPDY
	table  spdy.Table

	say  sync.Mutex // for what follows; held while bytes are written, never by who cuts the session
	sink *spdy.PortsSink
	left bool // goodbye was said

	// Guarded by fanout.mu.
	conns   map[int]*forwardConn // those that it carries, by number
	next    int                  // the next one's number
	users   int                  // those that it carries or is going to
	unclean bool                 // something may be left of one that ended
	gone    bool                 // its reader has ended
	idle    *time.Timer          // ends it; nil: it never had nothing to carry
	rests   int                  // how often it had nothing to carry
}

// errUpstreamLeft is upstream's GOAWAY. All that it had to say came before.
var errUpstreamLeft = errors.New("upstream said goodbye")

// dial asks for the session, as the client asked for its own.
func (l *forwardSession) dial() {
	defer close(l.ready)
	f := l.f
	a, err := f.p.again(f.ctx)
	if err == nil && a.conn == nil {
		err = refused(a.resp)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.stopped {
		a.conn.Close()
		err = errShutdown
	}
	if err != nil {
		l.err = err
		f.remove(l)
		return
	}
	l.attach(a)
	if !f.leaving.IsZero() {
		l.leg.conn.SetDeadline(f.leaving)
	}
	f.live[l] = true
	f.readers.Add(1)
	go l.read()
	if l.users == 0 { // who wanted it is over
		l.rest()
	}
}

// attach puts codecs on a connection.
func (l *forwardSession) attach(a upswitch) {
	l.leg = newLeg(a.conn, l.f.p.upBeat(), nil)
	t := upTransport(l.leg, a.link.protocol == webSocket)
	l.reader = streams.NewReader(t.in, l.down.flush)
	l.down.src = spdy.NewPortsSource(l.reader, t.replier, &l.table)
	l.down.sink, l.down.to = spdy.NewPortServerSink(l.f.client.out, &l.f.table), l.f.session.down
	l.sink = spdy.NewPortsSink(t.out, &l.table)
	l.tunnel = t.tunnel
}

// refused says why an upgrade was.
func refused(resp *http.Response) error {
	body := peekBody(resp, maxExplained)
	resp.Body.Close()
	var s metav1.Status
	if json.Unmarshal(body, &s) == nil && s.Message != "" {
		return errors.New(s.Message)
	}
	return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(body))
}

// open begins a connection.
func (l *forwardSession) open(c *forwardConn) error {
	l.say.Lock()
	defer l.say.Unlock()
	l.f.mu.Lock()
	over := c.over
	if !over {
		c.n = l.next
		l.next++
		l.conns[c.n] = c
	}
	l.f.mu.Unlock()
	if over {
		return nil
	}
	return l.sink.Open(c.n, c.port)
}

func (l *forwardSession) write(f streams.Frame) error {
	l.say.Lock()
	defer l.say.Unlock()
	return l.sink.Write(f)
}

func (l *forwardSession) flush() {
	l.say.Lock()
	defer l.say.Unlock()
	l.sink.Flush() // who writes next is told of a failure
	l.leg.release()
}

// read carries what the pod says, until the session ends.
func (l *forwardSession) read() {
	f := l.f
	defer f.readers.Done()
	defer f.contain()
	err := l.down.run(l.see)
	l.down.flush()
	l.reader.Close()
	f.mu.Lock()
	l.gone = true
	l.stopIdle()
	f.remove(l)
	delete(f.live, l)
	var left []*forwardConn
	for _, c := range l.conns {
		left = append(left, c)
	}
	f.mu.Unlock()
	if len(left) > 0 && f.cause() == nil {
		f.log.Warn("a port-forward's upstream session ended before its connections", "session", f.id, "connections", len(left), "error", upstreamError(err).Error())
	}
	for _, c := range left {
		f.reset(c)
	}
	l.leg.close()
}

// see says each frame to the client itself. A connection has ended here before
// its client reads the last one, so that the next finds its session free.
func (l *forwardSession) see(frame *streams.Frame) (forward bool, err error) {
	if frame.Kind == streams.Close {
		return false, errUpstreamLeft
	}
	n, isError, ok := streams.PortOf(frame.Stream.ID)
	if !ok {
		return false, nil
	}
	l.f.mu.Lock()
	c := l.conns[n]
	l.f.mu.Unlock()
	switch {
	case c == nil || frame.Kind == streams.Headers:
		return false, nil
	case frame.Kind == streams.Accept:
		c.isAccepted()
		return false, nil
	}
	frame.Stream.ID = c.data
	if isError {
		frame.Stream.ID = c.failure
	}
	l.down.say(*frame)
	if c.hears(frame.Kind, isError) {
		l.f.retire(c)
	}
	return false, nil
}

// goodbye says that nothing more comes.
func (l *forwardSession) goodbye() {
	l.say.Lock()
	defer l.say.Unlock()
	if l.left {
		return
	}
	l.left = true
	err := l.sink.Flush()
	if l.tunnel != nil && err == nil {
		l.tunnel.WriteClose(streams.CloseNormal)
	}
	l.leg.release()
	l.leg.closeWrite()
}
