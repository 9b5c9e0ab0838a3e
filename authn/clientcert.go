package authn

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/util/cert"
)

// ReasonCertificate is the reason of a refusal if no authority of --client-ca-file signed the
// client certificate, or if the certificate is unusable.
const ReasonCertificate Reason = "certificate"

// A ClientCA authenticates users by client certificate, as kube-apiserver does with
// --client-ca-file. It is safe for concurrent use.
type ClientCA struct {
	content       *dynamiccertificates.DynamicFileCAContent
	now           func() time.Time
	perConnection ConnectionValue
}

// NewClientCA reads a PEM file with the certificates of certificate authorities. The caller must
// call [ClientCA.Run] to reload the file when it changes.
func NewClientCA(file string) (*ClientCA, error) {
	// Check the file first: if it is invalid, NewDynamicCAContentFromFile would leak goroutines.
	if _, err := cert.NewPool(file); err != nil {
		return nil, err
	}
	content, err := dynamiccertificates.NewDynamicCAContentFromFile("client-ca-bundle", file)
	if err != nil {
		return nil, err
	}
	return &ClientCA{content, time.Now, func(*http.Request) *atomic.Value { return nil }}, nil
}

// CachePerConnection makes edge verify the client certificate of a connection once and store the
// result. edge verifies the certificate again when the CA file changes. It also does so when any
// certificate of an accepted chain has expired, and one minute after a refusal. CachePerConnection
// must be called before the first request. Without CachePerConnection, edge verifies the
// certificate for each request.
func (c *ClientCA) CachePerConnection(value ConnectionValue) { c.perConnection = value }

// Run reloads the CA file when it changes, until ctx ends. If the new file is unusable, the
// previous authorities stay in use.
func (c *ClientCA) Run(ctx context.Context) { c.content.Run(ctx, 1) }

// Content returns the CA certificates for a TLS listener, which names these authorities in its
// handshakes.
func (c *ClientCA) Content() dynamiccertificates.CAContentProvider { return c.content }

// authenticate verifies the client certificate of the request's connection. edge verifies it for
// requests and not only in the TLS handshake: while the connection is open, the certificate may
// expire and its authority may be removed from the CA file. If err is nil and ok is false, the
// client has no certificate or the certificate has no common name.
func (c *ClientCA) authenticate(r *http.Request) (who Result, ok bool, err error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return Result{}, false, nil
	}
	return c.judged(r, func() (Result, bool, error) { return c.judge(r) })
}

// judged returns the result of verifying the client certificate that is stored for the request's
// connection. If no result is stored or it is out of date, judged calls the function judge, which
// verifies the certificate.
func (c *ClientCA) judged(r *http.Request, judge func() (Result, bool, error)) (Result, bool, error) {
	place := c.perConnection(r)
	if place == nil {
		return judge()
	}
	verdict := verdictAt(place)
	options, _ := c.content.VerifyOptions()
	return verdict.get(options.Roots, c.now, judge)
}

func (c *ClientCA) judge(r *http.Request) (who Result, ok bool, err error) {
	user := func(chain []*x509.Certificate) (*authenticator.Response, bool, error) {
		response, ok, err := requestx509.CommonNameUserConversion(chain)
		if ok {
			who = Result{User: response.User, Kind: Certificate, Expires: expiryOf(chain)}
		}
		return response, ok, err
	}
	_, ok, err = requestx509.NewDynamic(c.options, requestx509.UserConversionFunc(user)).AuthenticateRequest(r)
	if err != nil {
		return Result{}, false, refused(ReasonCertificate, certificateFault(err))
	}
	return who, ok, nil
}

func (c *ClientCA) options() (x509.VerifyOptions, bool) {
	options, ok := c.content.VerifyOptions()
	options.CurrentTime = c.now()
	return options, ok
}

// expiryOf returns when a certificate chain expires: the earliest expiry of all its certificates.
func expiryOf(chain []*x509.Certificate) time.Time {
	first := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// certificateFault describes in edge's own words why a certificate is refused. It does not repeat
// err, which may contain text that an unknown client wrote into the certificate.
func certificateFault(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the client certificate is expired, or not valid yet"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "the client certificate is not meant for clients"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "no authority of --client-ca-file has signed the client certificate"
	}
	return "the client certificate cannot be verified, or its subject names no user"
}
