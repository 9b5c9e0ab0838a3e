package authn

import (
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// refusedAge is how long edge stores the refusal of a client certificate. The time is short,
// because a certificate that is not valid yet becomes valid later. edge stores the acceptance of a
// certificate until any certificate of its chain expires.
const refusedAge = time.Minute

// ConnectionValue returns the place where edge stores one value for a request's connection, for as
// long as the connection lasts. nil: edge stores nothing for this connection.
type ConnectionValue func(*http.Request) *atomic.Value

// certVerdict is the stored result of verifying the client certificate of a connection. edge stores
// the result, because verifying a chain takes milliseconds, while a request on an open connection
// costs the client only a few bytes.
type certVerdict struct {
	mu    sync.Mutex     // held during verification, so that concurrent requests on one connection share one verification
	roots *x509.CertPool // CA certificates that the verification used; a changed CA file makes another pool
	until time.Time
	who   Result
	ok    bool
	err   error
}

// verdictAt returns the verdict on a client certificate that is stored in the parameter place. If
// place is empty, verdictAt first stores a new, empty verdict there.
func verdictAt(place *atomic.Value) *certVerdict {
	if v, ok := place.Load().(*certVerdict); ok {
		return v
	}
	place.CompareAndSwap(nil, new(certVerdict))
	return place.Load().(*certVerdict)
}

// get returns the verdict on the client certificate, made with the CA certificates in the parameter
// roots. If the stored verdict was made with other CA certificates or is out of date, get calls the
// function judge, which verifies the certificate, and stores its result.
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
