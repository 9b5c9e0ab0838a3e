package authn

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"
)

// Authenticator verifies the tokens of all configured issuers. It may be used by many goroutines. Without
// [Authenticator.Run] it has no keys.
type Authenticator struct {
	options     Options // with its defaults resolved
	rules       atomic.Pointer[ruleSet]
	cache       tokenCache
	schedule    fetchSchedule
	reloadEvery time.Duration
	config      *configWatcher
}

// New returns an Authenticator for a configuration that is valid as a whole. It reads files, and fetches nothing yet.
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
		config: &configWatcher{file: o.File, log: o.Log, now: o.Now, adopted: config.source},
	}
	a.rules.Store(rules)
	return a, nil
}

// Authenticate returns the user of a token. The error is [ErrNotReady] or a [RefusedError]; with any error there is no user.
// It may wait for new keys, as long as one fetch takes or until ctx ends.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Verified, error) {
	if len(token) > MaxTokenBytes {
		return Verified{}, errTooLarge
	}
	rules, now := a.rules.Load(), a.options.Now()
	id := sha256.Sum256([]byte(token))
	if verified, ok := a.cache.get(id, func(c *cachedToken) bool { return c.holds(rules, now) }); ok {
		return verified, nil
	}
	growStack()
	v := &verification{rules: rules, token: token, now: now}
	verified, err := v.verify(ctx)
	if err == nil && len(token) <= maxCachedTokenBytes {
		a.cache.put(id, cachedToken{v.issuer, v.keys, verified})
	}
	return verified, err
}

// Anonymous reports whether a request without any credential may go on as system:anonymous, as kube-apiserver's
// configuration has it: where it is enabled, for the paths that it names, or for all if it names none.
func (a *Authenticator) Anonymous(path string) bool { return a.rules.Load().allowsAnonymous(path) }

// Run fetches the keys of every issuer and renews them, and follows the configuration file, until ctx ends. It is called
// once, and starts nothing that outlives it; afterwards tokens are verified with the last keys.
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
			k.start(ctx, rules) // before it is used: who comes with a new issuer's token waits for its keys
			a.rules.Store(rules)
			a.cache.sweep(func(c *cachedToken) bool { return rules.has(c.issuer) })
			k.stop(func(s *keySource) bool { return !rules.uses(s) })
		}
	}
}
