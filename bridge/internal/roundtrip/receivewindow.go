package roundtrip

import (
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// narrowWindow is the usual HTTP/2 receive window of an answer: the memory, in bytes, that edge
	// may use for the answer while the client does not read. Any number of answers may have it.
	narrowWindow = 256 << 10
	// wideWindow is the HTTP/2 receive window, in bytes, of an answer that has an end (unlike a
	// watch). It permits 40 MB/s at a round-trip time of 100 ms.
	wideWindow = 4 << 20
	// wideWindows limits the memory of all wide windows together, in bytes. While all of this memory
	// is in use, further answers get narrow windows.
	wideWindows = 256 << 20
)

// Windows counts the memory of all wide windows (HTTP/2 receive windows of wideWindow bytes). The
// zero value is ready to use.
type Windows struct{ used atomic.Int64 }

func (w *Windows) take() bool {
	if w.used.Add(wideWindow) <= wideWindows {
		return true
	}
	w.give()
	return false
}

func (w *Windows) give() { w.used.Add(-wideWindow) }

// wideBody is the body of an answer with a wide window (a large HTTP/2 receive window). It releases
// the window's memory when the body ends or is closed.
type wideBody struct {
	io.ReadCloser
	windows *Windows
	given   atomic.Bool
}

func (b *wideBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.give()
	}
	return n, err
}

func (b *wideBody) Close() error {
	b.give()
	return b.ReadCloser.Close()
}

func (b *wideBody) give() {
	if !b.given.Swap(true) {
		b.windows.give()
	}
}

// hold arranges that the wide window (a large HTTP/2 receive window) of resp is released when the
// answer's body ends.
func (w *Windows) hold(resp *http.Response) {
	if resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength == 0 {
		w.give()
		return
	}
	resp.Body = &wideBody{ReadCloser: resp.Body, windows: w}
}
