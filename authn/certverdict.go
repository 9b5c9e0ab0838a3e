package authn

import (
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// refusedAge is how long edge stores the refusal of a client certificate. It is short, because a
// certificate that is not valid yet becomes valid later. edge verifies an accepted certificate
// again when the first certificate of its chain expires.
const refusedAge = time.Minute

// ConnectionValue returns where one value is stored for as long as a request's connection lasts. If
// it returns nil, nothing is stored.
type ConnectionValue func(*http.Request) *atomic.Value

// certVerdict is the result of verifying the client certificate of a connection. edge stores it,
// because verifying a chain takes milliseconds, while a request on an open connection costs the
// client only a few bytes.
type certVerdict struct {
	mu    sync.Mutex     // held during verification, so that concurrent requests share one
	roots *x509.CertPool // CA pool of the verification; a changed CA file makes another pool
	until time.Time
	who   Result
	ok    bool
	err   error
}

// verdictAt returns the verdict that place stores. If place is empty, verdictAt first stores a new,
// empty verdict there.
func verdictAt(place *atomic.Value) *certVerdict {
	if v, ok := place.Load().(*certVerdict); ok {
		return v
	}
	place.CompareAndSwap(nil, new(certVerdict))
	return place.Load().(*certVerdict)
}

// get returns the verdict for these roots. If the stored verdict is for other roots or out of date,
// get calls judge and stores its result.
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
