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

// ConnectionValue finds where one value is kept for as long as a request's connection lasts; nil: nowhere.
type ConnectionValue func(*http.Request) *atomic.Value

// certVerdict is what a connection's certificate was found to be. Judging a chain costs milliseconds, and requests on
// an open connection cost their sender a few bytes each.
type certVerdict struct {
	mu    sync.Mutex     // held while the certificate is judged: the requests that come first together have one judgment
	roots *x509.CertPool // by which it was; another pool is another generation of the authorities' file
	until time.Time
	who   Result
	ok    bool
	err   error
}

// verdictAt returns the verdict that is kept at a place, a new one if there is none.
func verdictAt(place *atomic.Value) *certVerdict {
	if v, ok := place.Load().(*certVerdict); ok {
		return v
	}
	place.CompareAndSwap(nil, new(certVerdict))
	return place.Load().(*certVerdict)
}

// get returns the verdict by these roots, which judge makes if there is none that still counts.
func (v *certVerdict) get(roots *x509.CertPool, clock func() time.Time, judge func() (Result, bool, error)) (Result, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := clock(); v.roots != roots || !now.Before(v.until) {
		v.who, v.ok, v.err = judge()
		v.roots, v.until = roots, now.Add(refusedAge)
		if v.ok {
			v.until = v.who.Expires
		}
	}
	return v.who, v.ok, v.err
}
