package authn

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"

	"edge/internal/stack"
)

// verificationStack is the stack space that the nested calls of a token's verification need, in
// bytes.
const verificationStack = 8 << 10

// Authenticator verifies the tokens of all configured issuers. It is safe for concurrent use. It
// has no keys before [Authenticator.Run] fetches them.
type Authenticator struct {
	options     Options // as the caller passed them to New, with defaults filled in
	rules       atomic.Pointer[ruleSet]
	cache       tokenCache
	schedule    fetchSchedule
	reloadEvery time.Duration
	config      *configWatcher
}

// New returns an Authenticator. It returns an error if any part of the configuration is invalid.
// New reads files, but it does not fetch keys yet.
func New(o Options) (*Authenticator, error) {
	o = o.withDefaults()
	config, err := o.load()
	if err != nil {
		return nil, err
	}
	rules, err := compileRules(config, &ruleSet{}, o.Now)
	if err != nil && o.File != "" {
		err = fileError(o.File, err)
	}
	if err != nil {
		return nil, err
	}
	a := &Authenticator{
		options: o, cache: newTokenCache(), schedule: defaultSchedule, reloadEvery: reloadInterval,
		config: &configWatcher{file: o.File, log: o.Log, now: o.Now, adopted: config.source, metrics: o.Metrics},
	}
	a.rules.Store(rules)
	if o.Metrics != nil {
		o.Metrics.authenticator.Store(a)
	}
	return a, nil
}

// Authenticate returns the user of a token. The error is [ErrNotReady] or a [RefusedError]. With
// any error, the returned Verified is empty. Authenticate may wait for new keys, until one fetch of
// keys or ctx ends.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Verified, error) {
	if len(token) > MaxTokenBytes {
		return Verified{}, errTooLarge
	}
	rules, now := a.rules.Load(), a.options.Now()
	id := sha256.Sum256([]byte(token))
	if verified, ok := a.cache.get(id, func(c *cachedToken) bool { return c.holds(rules, now) }); ok {
		a.options.Metrics.cached(true)
		return verified, nil
	}
	a.options.Metrics.cached(false)
	stack.Grow[[verificationStack]byte]()
	v := &verification{rules: rules, token: token, now: now}
	verified, err := v.verify(ctx)
	err = ofIssuer(err, rules.places[v.issuer])
	if err == nil && len(token) <= maxCachedTokenBytes {
		a.cache.put(id, cachedToken{v.issuer, v.keys, verified})
	}
	return verified, err
}

// Anonymous reports whether a request without any credential may continue as system:anonymous. The
// anonymous section of the configuration decides this, as in kube-apiserver: it must be enabled,
// and it must list the path or no path at all.
func (a *Authenticator) Anonymous(path string) bool { return a.rules.Load().allowsAnonymous(path) }

// Run fetches the keys of every issuer, renews them, and reloads the configuration file when it
// changes, until ctx ends. Run must be called only once. Before Run returns, it stops all
// goroutines that it started. After that, edge verifies tokens with the keys that it fetched last.
func (a *Authenticator) Run(ctx context.Context) {
	k := &keyRefreshers{schedule: a.schedule, log: a.options.Log, running: make(map[*keySource]context.CancelFunc)}
	defer k.wait()
	k.start(ctx, a.rules.Load())
	if a.options.File == "" {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(a.reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if rules := a.config.reload(a.rules.Load()); rules != nil {
			// Start fetching keys before the new rules are in use, so that a token of a new issuer
			// waits for the issuer's first keys.
			k.start(ctx, rules)
			a.rules.Store(rules)
			a.cache.sweep(func(c *cachedToken) bool { return rules.has(c.issuer) })
			k.stop(func(s *keySource) bool { return !rules.uses(s) })
		}
	}
}
