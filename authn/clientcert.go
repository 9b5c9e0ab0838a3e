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

// ReasonCertificate: the client certificate is none of --client-ca-file's, or cannot be used.
const ReasonCertificate Reason = "certificate"

// A ClientCA tells who a client certificate is, as kube-apiserver does with --client-ca-file. It may be used by many goroutines.
type ClientCA struct {
	content       *dynamiccertificates.DynamicFileCAContent
	now           func() time.Time
	perConnection ConnectionValue
}

// NewClientCA reads a file of PEM certificates of authorities. Its caller runs [ClientCA.Run].
func NewClientCA(file string) (*ClientCA, error) {
	if _, err := cert.NewPool(file); err != nil { // what fails below leaves goroutines
		return nil, err
	}
	content, err := dynamiccertificates.NewDynamicCAContentFromFile("client-ca-bundle", file)
	if err != nil {
		return nil, err
	}
	return &ClientCA{content, time.Now, func(*http.Request) *atomic.Value { return nil }}, nil
}

// CachePerConnection makes the verdict on a connection's certificate last: until the authorities' file changes, and a
// good one no longer than the certificate and those above it, a refusal no longer than a minute. It is called before
// the first request. Without it, each request's certificate is judged anew.
func (c *ClientCA) CachePerConnection(value ConnectionValue) { c.perConnection = value }

// Run reads the file again when it changes, until ctx ends. A file that cannot be used leaves the authorities as they are.
func (c *ClientCA) Run(ctx context.Context) { c.content.Run(ctx, 1) }

// Content is for a listener that names the authorities in its handshakes.
func (c *ClientCA) Content() dynamiccertificates.CAContentProvider { return c.content }

// authenticate judges the certificate of the connection: it may expire, and its authority may be taken away, while the
// connection lasts. Without an error ok is false where there is none, or one without a common name.
func (c *ClientCA) authenticate(r *http.Request) (who Result, ok bool, err error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return Result{}, false, nil
	}
	return c.judged(r, func() (Result, bool, error) { return c.judge(r) })
}

// judged returns the connection's verdict, which judge makes if there is none that counts.
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

// expiryOf is when the first certificate of a chain expires.
func expiryOf(chain []*x509.Certificate) time.Time {
	first := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// certificateFault says in our words what is wrong: an error's own may repeat what a stranger wrote into a certificate.
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
	return "the client certificate cannot be verified, or its subject is nobody"
}
