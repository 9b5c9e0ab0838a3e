package roundtrip

import (
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// narrowWindow is what one answer may hold in memory while its client does not read, in bytes: any number may.
	narrowWindow = 256 << 10
	// wideWindow is the same for answers that have an end, in bytes: 40 MB/s over a round trip of 100 ms.
	wideWindow = 4 << 20
	// wideWindows bounds all wide windows together, in bytes. Past it, answers have narrow ones.
	wideWindows = 256 << 20
)

// Windows is the memory that wide windows share. The zero value is ready.
type Windows struct{ used atomic.Int64 }

func (w *Windows) take() bool {
	if w.used.Add(wideWindow) <= wideWindows {
		return true
	}
	w.give()
	return false
}

func (w *Windows) give() { w.used.Add(-wideWindow) }

// wideBody gives a window back at its end.
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

// hold keeps the window until the answer's body ends.
func (w *Windows) hold(resp *http.Response) {
	if resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength == 0 {
		w.give()
		return
	}
	resp.Body = &wideBody{ReadCloser: resp.Body, windows: w}
}
