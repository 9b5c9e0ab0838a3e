package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// maxEvent limits the size of one event of a watch, in bytes. An object in etcd has at most 1.5
	// MiB.
	maxEvent = 4 << 20
	// keptEvent is the largest buffer that a watch keeps between two events, in bytes.
	keptEvent = 4 << 10
	// watchPiece is the size of each read from a watch, in bytes.
	watchPiece = 512
)

// watch is one watch session. It ends when its context ends. If the server ends the stream first,
// the watch has failed.
type watch struct {
	tally *tally
	kind  *kind
	asked time.Time // when the watch request was sent
	seen  int       // number of events that the watch received
	line  []byte    // the received part of an event that is not complete yet
}

// openWatch sends the watch request and returns the stream of events. The stream ends when ctx
// ends. timeout limits only the wait for the response.
func (e *endpoint) openWatch(ctx context.Context, r *http.Request, timeout time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(timeout, func() { cancel(faultf(classTimeout, "no response within %s", timeout)) })
	resp, err := e.plain.RoundTrip(r.WithContext(ctx))
	late.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer cancel(nil)
		return nil, refusal(resp)
	}
	return &cancelled{resp.Body, cancel}, nil
}

// cancelled is a response body that also cancels the request's context when it is closed.
type cancelled struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (c *cancelled) Close() error {
	c.cancel(nil)
	return c.ReadCloser.Close()
}

// read reads the watch's events until ctx ends. If the watch fails before that, read returns why.
func (w *watch) read(ctx context.Context, body io.ReadCloser) *fault {
	defer body.Close()
	var piece [watchPiece]byte
	for {
		n, err := body.Read(piece[:])
		w.tally.down.Add(int64(n))
		if bad := w.take(piece[:n]); bad != nil {
			return classify(bad)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			return classify(faultf(classEarly, "the server ended the watch after %s", time.Since(w.asked).Round(time.Second)))
		default:
			return classify(err)
		}
	}
}

// take splits received bytes of a watch into lines. Each line is an event.
func (w *watch) take(b []byte) error {
	for len(b) > 0 {
		before, after, whole := bytes.Cut(b, []byte("\n"))
		if len(w.line)+len(before) > maxEvent {
			return faultf(classEvent, "event is larger than %d bytes", maxEvent)
		}
		w.line = append(w.line, before...)
		if !whole {
			return nil
		}
		if err := w.event(w.line); err != nil {
			return err
		}
		if w.line = w.line[:0]; cap(w.line) > keptEvent {
			w.line = nil
		}
		b = after
	}
	return nil
}

func (w *watch) event(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	var event struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return faultf(classEvent, "%w: %s", err, short(line))
	}
	if event.Type == "ERROR" || event.Type == "" || len(event.Object) == 0 {
		return faultf(classEvent, "%s", short(line))
	}
	if w.seen++; w.seen == 1 {
		w.tally.took(w.kind, firstByte, time.Since(w.asked))
	}
	w.tally.events.Add(1)
	return nil
}
