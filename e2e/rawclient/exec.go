package rawclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
)

// Exec describes an exec request, and what the client does while the command runs.
type Exec struct {
	Namespace string // namespace of the pod; empty: cluster.Namespace
	Pod       string
	Container string // container in the pod; empty: the pod's only container
	Command   []string
	Stdin     bool
	TTY       bool

	// StallAfter is the number of output bytes (stdout and stderr together) after which the client
	// stops reading once, for the duration Stall. 0: the client never stops reading.
	StallAfter int64
	Stall      time.Duration

	// Ping is the interval at which the client sends pings; 0: never. client-go sends a ping every
	// 5 s.
	Ping time.Duration

	// Do runs while the client reads the session; nil: nothing runs. If Do returns an error, Exec
	// returns that error.
	Do func(*Session) error
}

// Session is an exec whose command is running. The function Exec.Do calls its methods.
type Session struct {
	d       Dialect
	w       wire
	gaveUp  <-chan struct{}
	out     [2]*recorder // what the client has received on stdout and stderr
	outcome bytes.Buffer
}

// Write sends the bytes in p to the command's stdin.
func (s *Session) Write(p []byte) (int, error) { return len(p), s.w.write(stdin, p) }

// End half-closes the command's stdin. It returns ErrCannotSay if the dialect has no half-close.
func (s *Session) End() error { return s.w.end(stdin) }

// Resize tells the server the new size of the client's terminal.
func (s *Session) Resize(columns, rows int) error {
	return s.w.write(resize, fmt.Appendf(nil, "{\"Width\":%d,\"Height\":%d}\n", columns, rows))
}

// Expect waits until stdout contains text within its first mostHead bytes.
func (s *Session) Expect(text string) error { return s.out[0].waitText(s.gaveUp, text) }

// Cut closes the client's TCP connection without closing TLS or WebSocket first, as happens when
// the client crashes.
func (s *Session) Cut() { cut(s.w.conn()) }

// Close sends a close frame (WebSocket) or GOAWAY (SPDY). The client continues to read.
func (s *Session) Close() error {
	s.w.bye()
	return nil
}

// CloseWrite half-closes the client's TCP connection. The client continues to read.
func (s *Session) CloseWrite() error {
	halfClose(s.w.conn())
	return nil
}

// Exec runs the exec e until the session ends, and returns what the client observed. An error means
// that the client itself could not do what e describes. A refusal by the server is not an error but
// a part of the Observation.
func (d Dialect) Exec(ctx context.Context, to cluster.Access, e Exec) (Observation, error) {
	s := &Session{d: d, gaveUp: ctx.Done(), out: [2]*recorder{newRecorder(), newRecorder()}}
	o := Observation{Start: -1, Close: abnormal}
	var err error
	if s.w, o.Subprotocol, err = d.dial(ctx, to, e.URI()); err != nil {
		return refusal(err)
	}
	defer context.AfterFunc(ctx, func() { s.w.conn().Close() })()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read(e, &o)
	}()
	if f, ok := s.w.(*frames); ok {
		err = f.openExec(e, d.Resize)
	}
	if e.Ping > 0 {
		go ping(s.w, e.Ping, done)
	}
	if err == nil && e.Do != nil {
		err = e.Do(s)
	}
	<-done
	s.w.bye()
	o.Hung = !farewell(s.w.conn()) || ctx.Err() != nil
	s.fill(&o)
	return o, err
}

// refusal converts the error for a response other than 101 into an Observation. It returns any
// other error unchanged.
func refusal(err error) (Observation, error) {
	if answer, ok := errors.AsType[*refused](err); ok {
		return Observation{Refusal: answer.answer}, nil
	}
	return Observation{}, err
}

// dial connects to the server and upgrades the connection. It returns the wire (the connection of
// the new session) and the subprotocol that the server chose.
func (d Dialect) dial(ctx context.Context, to cluster.Access, uri string) (wire, string, error) {
	if d.SPDY && !d.Tunnel {
		conn, r, subprotocol, err := dialSPDY(ctx, to, uri, d.Offer)
		if err != nil {
			return nil, "", err
		}
		w, err := newFrames(conn, r, conn)
		return w, subprotocol, err
	}
	c, _, err := DialWebSocket(ctx, to, uri, d.Offer...)
	if err != nil {
		return nil, "", err
	}
	if !d.Tunnel {
		return &channels{c: c, d: d}, c.Subprotocol(), nil
	}
	t := &tunnel{c: c, code: abnormal}
	w, err := newFrames(c.NetConn(), t, t)
	w.tunnel = t
	return w, c.Subprotocol(), err
}

// URI returns the path and the query of the exec request.
func (e Exec) URI() string {
	query := url.Values{"command": e.Command, "stdout": {"true"}}
	query.Set("stdin", strconv.FormatBool(e.Stdin))
	query.Set("stderr", strconv.FormatBool(!e.TTY))
	query.Set("tty", strconv.FormatBool(e.TTY))
	if e.Container != "" {
		query.Set("container", e.Container)
	}
	return podURI(e.Namespace, e.Pod, "exec") + "?" + query.Encode()
}

func podURI(namespace, pod, verb string) string {
	if namespace == "" {
		namespace = cluster.Namespace
	}
	return "/api/v1/namespaces/" + namespace + "/pods/" + pod + "/" + verb
}

// openExec opens the SPDY streams of an exec in the same order as client-go, and waits until the
// server has accepted them.
func (w *frames) openExec(e Exec, canResize bool) error {
	n := 0
	for _, s := range []struct {
		stream int
		name   string
		wanted bool
	}{
		{outcome, "error", true}, {stdin, "stdin", e.Stdin}, {stdout, "stdout", true}, {stderr, "stderr", !e.TTY},
		{resize, "resize", e.TTY && canResize},
	} {
		if !s.wanted {
			continue
		}
		n++
		if err := w.open(s.stream, http.Header{"Streamtype": {s.name}}); err != nil {
			return err
		}
	}
	return w.awaitReplies(n)
}

// read reads everything that the server sends, until the session ends, and stores the result in o.
func (s *Session) read(e Exec, o *Observation) {
	first := true
	var seen int64
	stall := sync.OnceFunc(func() { time.Sleep(e.Stall) })
	o.Close = s.w.read(func(stream int, p []byte, kind eventKind) {
		if first && len(p) == 0 && kind == isData {
			o.Start = stream
		}
		first = false
		switch {
		case kind != isData:
		case stream == stdout || stream == stderr:
			o.Late = o.Late || s.outcome.Len() > 0 && len(p) > 0
			s.out[stream-stdout].Write(p)
			if seen += int64(len(p)); e.StallAfter > 0 && seen >= e.StallAfter {
				stall()
			}
		case stream == outcome:
			s.outcome.Write(p)
		default:
			o.Breach = fmt.Sprintf("%d bytes on stream %d", len(p), stream)
		}
	})
	for _, out := range s.out {
		out.end()
	}
}

// fill stores in o what the client has received on stdout and stderr.
func (s *Session) fill(o *Observation) {
	o.Stdout, o.Stderr = s.out[0].output(), s.out[1].output()
	if said := s.w.breach(); said != "" {
		o.Breach = said
	}
	if !s.d.Status || s.outcome.Len() == 0 {
		o.Text = s.outcome.String()
		return
	}
	o.Status = &metav1.Status{}
	if err := json.Unmarshal(s.outcome.Bytes(), o.Status); err != nil {
		o.Breach, o.Text = "the result is not valid JSON of a Status", s.outcome.String()
	}
}
