package roundtrip

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// mostTries is how often a request is sent that the API server certainly did not take, over some 14 s: where connections
	// are ended after a few requests, many requests at once may meet that end again and again.
	mostTries = 32
	// mostLosses is how often a connection may break under a request that reads, before the request fails.
	mostLosses = 2
	// firstPause is before the third try; each next one is twice as long up to longestPause, and up to a tenth longer.
	firstPause   = 50 * time.Millisecond
	longestPause = 500 * time.Millisecond
	// dialPatience is how long after a request's beginning a connection that could not be made is tried again.
	dialPatience = 3 * time.Second
)

// A verdict is what one try came to.
type verdict int

const (
	answered verdict = iota
	untaken          // the API server has certainly not processed the request
	broken           // the connection broke, or was silent: the API server may have processed it
	unfit            // nothing of the request could be written, through a fault of its own
	failed           // any other end: the API server may have processed it
)

// send sends req until it has an answer, or may not be sent again.
func (t *Transport) send(p *pool, req *http.Request) (*http.Response, error) {
	began := time.Now()
	ctx := req.Context()
	body := req.Body
	bodiless := req.Body == nil || req.Body == http.NoBody
	reads := t.cfg.Asks || bodiless && OnlyReads(req.Method)
	losses := 0
	for try := 1; ; try++ {
		s, err := p.get(ctx, losses > 0)
		if err != nil {
			if isFinal(err) || ctx.Err() != nil || time.Since(began) > dialPatience || !pause(ctx, try) {
				closeBody(body)
				return nil, fmt.Errorf("%w: %w", ErrUnreached, err)
			}
			continue
		}
		resp, got, err := s.roundTrip(req, body)
		lost := ErrLost
		switch {
		case got == answered:
			resp.Request = req
			return resp, nil
		case got == unfit, got == failed && isTimeout(err), ctx.Err() != nil:
			return nil, err
		case got == untaken:
			lost = ErrNothingDone
		case got == broken && reads && losses < mostLosses:
			losses++
		default:
			return nil, fmt.Errorf("%w: %w", lost, err)
		}
		cause := err
		if body, err = again(req, cause); err != nil {
			return nil, fmt.Errorf("%w: %w", lost, err)
		}
		if !pause(ctx, try) {
			closeBody(body)
			return nil, fmt.Errorf("%w: the last of %d tries: %w", lost, try, cause)
		}
	}
}

// again is the body for one more try.
func again(req *http.Request, cause error) (io.ReadCloser, error) {
	switch {
	case req.Body == nil, req.Body == http.NoBody:
		return req.Body, nil
	case req.GetBody == nil:
		return nil, fmt.Errorf("%w, after %w", ErrNotKept, cause)
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("%w, after %w", err, cause)
	}
	return body, nil
}

// pause waits before the next try; false: there is none.
func pause(ctx context.Context, try int) bool {
	if try >= mostTries || ctx.Err() != nil {
		return false
	}
	if try == 1 {
		return true
	}
	wait := min(firstPause<<(try-2), longestPause)
	timer := time.NewTimer(wait + rand.N(wait/10))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
