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
	// maxEvent bounds one event, in bytes: an object in etcd has at most 1.5 MiB.
	maxEvent = 4 << 20
	// keptEvent is what a watch keeps of its buffer between two events.
	keptEvent = 4 << 10
	// watchPiece is what is read at a time.
	watchPiece = 512
)

// watch is one watch. Its goroutine ends with its context, or with the stream, which is a failure.
type watch struct {
	tally *tally
	kind  *kind
	asked time.Time
	seen  int
	line  []byte // of the event that is not whole yet
}

// openWatch asks for a watch and returns its stream. ctx ends it, at any time.
func (e *endpoint) openWatch(ctx context.Context, r *http.Request, timeout time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(timeout, func() { cancel(faultf(classTimeout, "no answer in %s", timeout)) })
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

// cancelled is a body whose request's context ends with it.
type cancelled struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (c *cancelled) Close() error {
	c.cancel(nil)
	return c.ReadCloser.Close()
}

// read takes events until ctx ends, and says why it stopped before.
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

// take cuts what came into lines, each of which is an event.
func (w *watch) take(b []byte) error {
	for len(b) > 0 {
		before, after, whole := bytes.Cut(b, []byte("\n"))
		if len(w.line)+len(before) > maxEvent {
			return faultf(classEvent, "one of more than %d bytes", maxEvent)
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
