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
	// mostTries limits the attempts to send a request that the API server certainly did not
	// process. All of them together take about 14 s. So many are allowed because a server may close
	// each connection after a few requests: many concurrent requests then fail several times.
	mostTries = 32
	// mostLosses limits how often the connection of a read-only request may break before the
	// request fails.
	mostLosses = 2
	// firstPause is the pause before the third attempt to send a request. Each later pause is twice
	// as long, up to longestPause, plus up to 10 percent.
	firstPause   = 50 * time.Millisecond
	longestPause = 500 * time.Millisecond
	// dialPatience is the time since the begin of a request after which edge no longer repeats a
	// failed attempt to connect for that request.
	dialPatience = 3 * time.Second
)

// A verdict is the result of one attempt to send a request.
type verdict int

const (
	answered verdict = iota
	untaken          // the API server has certainly not processed the request
	broken           // the connection broke or was silent: the API server may have processed it
	unfit            // nothing was written, because the request itself is invalid
	failed           // any other error: the API server may have processed the request
)

// send sends req until it gets an answer or must not be sent again.
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
			t.cfg.Metrics.retried(retryUnreached)
			continue
		}
		resp, got, err := s.roundTrip(req, body)
		lost, reason := ErrLost, retryBroken
		switch {
		case got == answered:
			resp.Request = req
			return resp, nil
		case got == unfit, got == failed && isTimeout(err), ctx.Err() != nil:
			return nil, err
		case got == untaken:
			lost, reason = ErrNothingDone, retryUntaken
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
			return nil, fmt.Errorf("%w: the last of %d attempts failed: %w", lost, try, cause)
		}
		t.cfg.Metrics.retried(reason)
	}
}

// again returns the request's body for another attempt.
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

// pause waits before the next attempt to send a request. It returns false if no attempt may follow.
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
