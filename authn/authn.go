package authn

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

// MaxTokenBytes is the longest token that is looked at: what a request's whole header may have, here and at kube-apiserver. One of
// a thousand groups has about 100 KiB.
const MaxTokenBytes = 1 << 20

// maxJOSEHeaderBytes bounds a token's first part, in base64url: go-jose makes a value of each of its members before a signature is
// looked at, 77 MiB out of 900 KiB. A real one has less than 1 KiB, with a certificate chain several.
const maxJOSEHeaderBytes = 64 << 10

var errHeaderTooLarge = refused(ReasonTooLarge, fmt.Sprintf("the token's header is longer than %d bytes", maxJOSEHeaderBytes))

var errTooLarge = refused(ReasonTooLarge, fmt.Sprintf("the token is longer than %d bytes", MaxTokenBytes))

// Verified is what a good token says. User is shared by all requests with that token: read it only.
type Verified struct {
	User    user.Info
	Expires time.Time // the token is good up to and at this time
	Issuer  string    // the issuer's URL, as it is configured
}

// Authenticator verifies the tokens of all configured issuers. It may be used by many goroutines. Without
// [Authenticator.Run] it has no keys.
type Authenticator struct {
	options     Options // with its defaults resolved
	rules       atomic.Pointer[ruleSet]
	cache       tokenCache
	schedule    fetchSchedule
	reloadEvery time.Duration

	mu     sync.Mutex
	config configWatcher
}

// New returns an Authenticator for a configuration that is valid as a whole. It reads files, and fetches nothing yet.
func New(cfg Options) (*Authenticator, error) {
	cfg = cfg.withDefaults()
	a := &Authenticator{options: cfg, cache: newTokenCache(), schedule: defaultSchedule, reloadEvery: reloadInterval}
	doc, err := cfg.load()
	if err != nil {
		return nil, err
	}
	conf, err := compileRules(doc, &ruleSet{}, cfg.Now)
	if err != nil && cfg.File != "" {
		err = fileError(cfg.File, err)
	}
	if err != nil {
		return nil, err
	}
	a.rules.Store(conf)
	a.config.adopted = doc.source
	return a, nil
}

// Authenticate returns the user of a token. The error is [ErrNotReady] or a [RefusedError]; with any error there is no user.
// It may wait for new keys, as long as one fetch takes or until ctx ends.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Verified, error) {
	if len(token) > MaxTokenBytes {
		return Verified{}, errTooLarge
	}
	conf, now := a.rules.Load(), a.options.Now()
	id := sha256.Sum256([]byte(token))
	if v, ok := a.cache.get(id, func(m *cachedToken) bool { return m.holds(conf, now) }); ok {
		return v, nil
	}
	growStack()
	t := &verification{rules: conf, token: token, now: now}
	v, err := t.verify(ctx)
	if err == nil && len(token) <= maxCachedTokenBytes {
		a.cache.put(id, cachedToken{t.issuer, t.keys, v})
	}
	return v, err
}

// Anonymous reports whether a request without any credential may go on as system:anonymous, as kube-apiserver's
// configuration has it: where it is enabled, for the paths that it names, or for all if it names none.
func (a *Authenticator) Anonymous(path string) bool { return a.rules.Load().allowsAnonymous(path) }
