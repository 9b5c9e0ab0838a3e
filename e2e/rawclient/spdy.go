package rawclient

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/moby/spdystream/spdy"
)

// frames is a wire (the connection of a session) on which each stream is an SPDY stream. The client
// opens streams with the ids 1, 3, 5 and so on.
type frames struct {
	under net.Conn
	// WebSocket inside which the SPDY frames are sent; nil: they are sent on the connection itself
	tunnel *tunnel
	framer *spdy.Framer

	mu    sync.Mutex // held while a frame is written; also guards the maps byID and byNum
	out   *bufio.Writer
	byID  map[spdy.StreamId]int
	byNum map[int]spdy.StreamId
	// receives one value for each stream of the client that the server has accepted
	replies chan struct{}

	broken string
	left   atomic.Bool // true after the client has sent GOAWAY
}

func newFrames(conn net.Conn, r io.Reader, w io.Writer) (*frames, error) {
	f := &frames{
		under: conn, out: bufio.NewWriterSize(w, 64<<10), replies: make(chan struct{}, mostStreams),
		byID: map[spdy.StreamId]int{}, byNum: map[int]spdy.StreamId{},
	}
	var err error
	f.framer, err = spdy.NewFramer(f.out, r)
	return f, err
}

// mostStreams is the largest number of streams that the client opens in one session.
const mostStreams = 512

// open sends SYN_STREAM for a new stream. It does not wait for the server's answer; awaitReplies
// does.
func (w *frames) open(stream int, header http.Header) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := spdy.StreamId(2*len(w.byNum) + 1)
	w.byID[id], w.byNum[stream] = stream, id
	if err := w.framer.WriteFrame(&spdy.SynStreamFrame{StreamId: id, Headers: header}); err != nil {
		return err
	}
	return w.out.Flush()
}

// awaitReplies waits until the server has accepted n streams. The client must not send DATA before
// that, because the server would drop it.
func (w *frames) awaitReplies(n int) error {
	for range n {
		select {
		case <-w.replies:
		case <-time.After(time.Minute):
			return fmt.Errorf("rawclient: the server did not accept a stream within one minute")
		}
	}
	return nil
}

func (w *frames) send(f spdy.Frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.framer.WriteFrame(f); err != nil {
		return err
	}
	return w.out.Flush()
}

func (w *frames) id(stream int) spdy.StreamId {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byNum[stream]
}

func (w *frames) write(stream int, p []byte) error {
	return w.send(&spdy.DataFrame{StreamId: w.id(stream), Data: p})
}

func (w *frames) end(stream int) error {
	return w.send(&spdy.DataFrame{StreamId: w.id(stream), Flags: spdy.DataFlagFin})
}

func (w *frames) reset(stream int) error {
	return w.send(&spdy.RstStreamFrame{StreamId: w.id(stream), Status: spdy.Cancel})
}

func (w *frames) read(event func(int, []byte, eventKind)) int {
	for {
		w.under.SetReadDeadline(time.Now().Add(mostIdle))
		frame, err := w.framer.ReadFrame()
		if err != nil {
			if broken, ok := err.(*spdy.Error); ok {
				w.breaksf("%v", broken)
			}
			if w.tunnel != nil {
				return w.tunnel.code
			}
			if w.left.Load() { // the server sends no GOAWAY if the client has sent one before
				return 0
			}
			return abnormal
		}
		switch f := frame.(type) {
		case *spdy.DataFrame:
			if len(f.Data) > 0 {
				w.event(event, f.StreamId, f.Data, isData)
			}
			if f.Flags&spdy.DataFlagFin != 0 {
				w.event(event, f.StreamId, nil, isEnd)
			}
		case *spdy.RstStreamFrame:
			w.event(event, f.StreamId, nil, isReset)
		case *spdy.SynReplyFrame:
			select {
			case w.replies <- struct{}{}:
			default:
				w.breaksf("more replies than streams")
			}
		case *spdy.PingFrame:
			// an even id is the server's own ping; an odd id is the answer to a ping of the client
			if f.Id%2 == 0 {
				w.send(f)
			}
		case *spdy.GoAwayFrame:
			// SPDY inside WebSocket ends with a WebSocket close frame, so read ignores GOAWAY there
			if w.tunnel == nil {
				return 0
			}
		case *spdy.SynStreamFrame:
			w.breaksf("the server opened stream %d", f.StreamId)
		}
	}
}

func (w *frames) event(event func(int, []byte, eventKind), id spdy.StreamId, p []byte, kind eventKind) {
	w.mu.Lock()
	stream, ok := w.byID[id]
	w.mu.Unlock()
	if !ok {
		w.breaksf("a frame of stream %d, which was not opened", id)
		return
	}
	event(stream, p, kind)
}

func (w *frames) breaksf(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

func (w *frames) ping() error { return w.send(&spdy.PingFrame{Id: 1}) }

func (w *frames) breach() string { return w.broken }

func (w *frames) bye() {
	w.left.Store(true)
	w.send(&spdy.GoAwayFrame{Status: spdy.GoAwayOK})
	if w.tunnel != nil {
		w.tunnel.bye()
	}
}

func (w *frames) conn() net.Conn { return w.under }

// tunnel carries the bytes of an SPDY connection in binary WebSocket messages. The messages'
// boundaries have no meaning.
type tunnel struct {
	c       *websocket.Conn
	message io.Reader
	// close code that the server sent; valid after the method Read has returned an error
	code int
}

func (t *tunnel) Read(p []byte) (int, error) {
	for {
		if t.message == nil {
			_, r, err := t.c.NextReader()
			if err != nil {
				t.code = closeCode(err)
				return 0, err
			}
			t.message = r
		}
		n, err := t.message.Read(p)
		if errors.Is(err, io.EOF) {
			t.message, err = nil, nil
		}
		if n > 0 || err != nil {
			if err != nil {
				t.code = closeCode(err)
			}
			return n, err
		}
	}
}

func (t *tunnel) Write(p []byte) (int, error) {
	return len(p), t.c.WriteMessage(websocket.BinaryMessage, p)
}

func (t *tunnel) bye() {
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	t.c.WriteControl(websocket.CloseMessage, message, time.Now().Add(5*time.Second))
}
