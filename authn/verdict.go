package authn

import (
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// refusedAge bounds how long a certificate's refusal is remembered: it may not have been valid yet. A good one is judged again
// when the first certificate of its chain expires.
const refusedAge = time.Minute

// Kept is where a room keeps one value for as long as a request's connection lasts; nil: nowhere.
type ConnectionValue func(*http.Request) *atomic.Value

// verdict is what a connection's certificate was found to be. Judging a chain costs milliseconds, and requests on an open
// connection cost their sender a few bytes each.
type certVerdict struct {
	mu    sync.Mutex     // held while the certificate is judged: the requests that come first together have one judgment
	roots *x509.CertPool // by which it was; another pool is another generation of the authorities' file
	until time.Time
	who   Result
	ok    bool
	err   error
}

// judged returns the connection's verdict, which judge makes if there is none that counts.
func (c *ClientCA) judged(r *http.Request, judge func() (Result, bool, error)) (Result, bool, error) {
	place := c.place(r)
	if place == nil {
		return judge()
	}
	v, _ := place.Load().(*certVerdict)
	if v == nil {
		place.CompareAndSwap(nil, new(certVerdict))
		v = place.Load().(*certVerdict)
	}
	options, _ := c.content.VerifyOptions()
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := c.now(); v.roots != options.Roots || !now.Before(v.until) {
		v.who, v.ok, v.err = judge()
		v.roots, v.until = options.Roots, now.Add(refusedAge)
		if v.ok {
			v.until = v.who.Expires
		}
	}
	return v.who, v.ok, v.err
}
