package binaries

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// ticker prints the progress of a long build every 15 s.
type ticker struct {
	w     io.Writer
	title string
	start time.Time
	done  chan struct{}
	wg    sync.WaitGroup
	// what the build has done so far, for example "812 packages compiled"
	what atomic.Pointer[string]
}

func startTicker(w io.Writer, title string) *ticker {
	t := &ticker{w: w, title: title, start: time.Now(), done: make(chan struct{})}
	fmt.Fprintf(w, "testbed: building %s\n", title)
	t.wg.Go(func() {
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-t.done:
				return
			case <-tick.C:
				what := ""
				if s := t.what.Load(); s != nil {
					what = ", " + *s
				}
				fmt.Fprintf(w, "testbed: ... %s: %s%s\n", title, t.elapsed(), what)
			}
		}
	})
	return t
}

func (t *ticker) say(what string) { t.what.Store(&what) }

func (t *ticker) stop(err error) {
	close(t.done)
	t.wg.Wait()
	if err == nil {
		fmt.Fprintf(t.w, "testbed: built %s in %s\n", t.title, t.elapsed())
	}
}

func (t *ticker) elapsed() time.Duration { return time.Since(t.start).Round(time.Second) }
