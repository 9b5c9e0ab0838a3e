package impersonate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
)

// clientIPKey is the extra key that a client's address travels in.
const clientIPKey = "remote-client-ip"

const (
	// maxLastModes and lastModeAge bound what is remembered of requestors: which mode to try first. It decides nothing.
	maxLastModes = 10_000
	lastModeAge  = time.Hour

	// timeoutPerValue is what each value that is requested adds to the time for all: maxParallel reviews are under way
	// at a time, and an API server that is far away, or busy, may take 160 ms for each.
	timeoutPerValue = 20 * time.Millisecond
	// maxImpersonationTimeout is kube-apiserver's own bound of a request.
	maxImpersonationTimeout = time.Minute
)

var hashSeed = maphash.MakeSeed()

// PolicyConfig is what an administrator decides about identities.
type PolicyConfig struct {
	// Ask is asked whether a requestor may impersonate; nil: nobody can be asked, and so nobody may.
	Ask Asker
	// AllowSystem has the user names and groups under "system:" that an authenticator may mint, whole: there are no
	// wildcards.
	AllowSystem []string
	// Constrained tells whether the API server offers constrained impersonation (KEP-5284); nil: it does not. See
	// [ConstrainedDetector].
	Constrained func(context.Context) bool
	// DropUnusable lets a user go on without the groups that are of no use upstream: those that no header can carry,
	// and the empty one. Otherwise one of them is a refusal. It is about who authenticated, not about whom a client
	// asks to impersonate.
	DropUnusable bool
	// Extra is set in every identity, and replaces what it has of the same keys. Keys are lower case.
	Extra map[string][]string
	// ClientIP adds the client's address as the extra key remote-client-ip, and lets nobody else set it.
	ClientIP bool
}

// setsItself tells whether edge itself sets an extra, which Extra must not then.
func (c PolicyConfig) setsItself(key string) bool {
	if key == clientIPKey {
		return c.ClientIP
	}
	return isRecord(key) || key == user.CredentialIDKey
}

// A Policy decides as whom a request goes upstream. It is immutable but for what it remembers, and for many goroutines.
type Policy struct {
	ask         Asker
	system      map[string]bool
	drop        bool // what is in groups and of no use
	constrained func(context.Context) bool
	extra       map[string][]string
	clientIP    bool
	lastModes   *cache.LRUExpireCache // int by the requestor's hash
}

// NewPolicy returns an error that says which part of the configuration cannot be.
func NewPolicy(c PolicyConfig) (*Policy, error) {
	p := &Policy{
		ask: c.Ask, system: make(map[string]bool), drop: c.DropUnusable, constrained: c.Constrained, clientIP: c.ClientIP,
		extra: make(map[string][]string), lastModes: cache.NewLRUExpireCache(maxLastModes),
	}
	if p.ask == nil {
		p.ask = noAsker{}
	}
	for _, name := range c.AllowSystem {
		if !strings.HasPrefix(name, systemPrefix) || name == systemPrefix || !intact(name) || strings.HasSuffix(name, "*") {
			return nil, fmt.Errorf("system identity %s: it must be a whole name that begins with %q", quote(name), systemPrefix)
		}
		p.system[name] = true
	}
	for key, values := range c.Extra {
		switch {
		case !arrives(key):
			return nil, fmt.Errorf("extra key %s: it must be lower case and not empty", quote(key))
		case c.setsItself(key):
			return nil, fmt.Errorf("extra key %s: edge itself sets it", quote(key))
		case !allIntact(values):
			return nil, fmt.Errorf("extra key %s: a value has a control character, or white space around it", quote(key))
		}
		p.extra[key] = slices.Clone(values)
	}
	return p, nil
}

// Identity returns whom the request goes upstream as: the requestor, or whom it asks to impersonate and, by the API
// server's word, may. An error has a Status for the client: 400 for headers that are no impersonation request, 403 for
// a refusal, 429 if too much is being reviewed, 500 or 503 if nobody knows. It takes 10 s at most, a minute with very
// many groups, and no time if there is nothing to ask.
func (p *Policy) Identity(ctx context.Context, requestor user.Info, r Request) (Identity, error) {
	id := identityOf(requestor)
	if err := id.checkApartFromGroups(); err != nil {
		return Identity{}, err
	}
	unusable := slices.IndexFunc(id.Groups, isUnusable)
	if unusable >= 0 && !p.drop {
		return Identity{}, unusableGroup(id.Groups[unusable])
	}
	if !r.isNobody(requestor) {
		if err := checkSystem(id, p.system); err != nil {
			return Identity{}, err
		}
	}
	for key := range id.Extra {
		if isRecord(key) {
			return Identity{}, recordForged(key)
		}
	}
	if unusable >= 0 { // now that all of them were looked at
		id.dropUnusable()
	}
	req, err := readImpersonationRequest(r.Header)
	if err != nil {
		return Identity{}, err
	}
	if req != nil {
		if id, err = p.grant(ctx, id, req, r); err != nil {
			return Identity{}, err
		}
	}
	p.addExtra(&id, r.ClientIP)
	id.Bearer = r.Bearer
	return id, nil
}

// addExtra sets what the administrator wants to be known of every request.
func (p *Policy) addExtra(id *Identity, clientIP string) {
	if len(p.extra) == 0 && !p.clientIP {
		return
	}
	extra := make(map[string][]string, len(id.Extra)+len(p.extra)+1)
	maps.Copy(extra, id.Extra)
	maps.Copy(extra, p.extra)
	if p.clientIP {
		delete(extra, clientIPKey)
		if clientIP != "" && intact(clientIP) {
			extra[clientIPKey] = []string{clientIP}
		}
	}
	id.Extra = extra
}

// grant returns the identity that is requested, if the requestor may have it, with a record of who asked.
func (p *Policy) grant(ctx context.Context, requestor Identity, req *impersonationRequest, r Request) (Identity, error) {
	groups, err := p.review(ctx, requestor, req, r)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Name: req.name, UID: req.uid, Groups: groups, Extra: make(map[string][]string, len(req.extra)+4), Nested: true}
	id.Requestor, id.Dropped = requestor.Requestor, requestor.Dropped
	maps.Copy(id.Extra, req.extra)
	if err := addRecord(id.Extra, id.Requestor); err != nil {
		return Identity{}, err
	}
	if err := id.check(); err != nil { // the record is checked too
		return Identity{}, err
	}
	return id, nil
}

// review asks whether the requestor may impersonate whom it asks to, and returns the groups that it then has.
func (p *Policy) review(ctx context.Context, requestor Identity, req *impersonationRequest, r Request) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, impersonationTimeout(req))
	defer cancel()
	a := attempt{asker: p.ask, requestor: requestor, request: req, stream: r.Stream}
	if p.constrained == nil || !p.constrained(ctx) {
		return req.groups, a.forbidden(a.values(ctx, legacy))
	}
	if r.Attributes == nil {
		return nil, errNoAttributes
	}
	var err error
	if a.attributes, err = r.Attributes(); err != nil {
		return nil, fmt.Errorf("impersonate: attributes of the request: %w", err)
	}
	allowed, err := p.anyMode(ctx, &a)
	if err != nil {
		return nil, a.forbidden(err)
	}
	if _, node := nodeOf(req); node && modes[allowed].constrained() {
		return []string{user.NodesGroup}, nil // edge's own impersonation upstream is the plain one, which adds no group for a node
	}
	return req.groups, nil
}

// anyMode returns the first mode that allows the request; the one that last did for this requestor is tried first. If
// none does, the first refusal is the one to tell, as the API server does; but of what is not allowed, what the plain
// right lacks says more than that a narrower mode is closed.
func (p *Policy) anyMode(ctx context.Context, a *attempt) (int, error) {
	key := maphash.String(hashSeed, a.requestor.Name) // one size for all; a collision changes the order only
	order := make([]int, 0, len(modes)+1)
	if last, ok := p.lastModes.Get(key); ok {
		order = append(order, last.(int))
	}
	for m := range modes {
		if !slices.Contains(order, m) {
			order = append(order, m)
		}
	}
	var first error
	for _, m := range order {
		if !modes[m].covers(a.request, a.requestor) {
			continue
		}
		err := a.try(ctx, m)
		if err == nil {
			p.lastModes.Add(key, m, lastModeAge)
			return m, nil
		}
		if first == nil {
			first = err
		}
		if told, plain := (*denial)(nil), (*denial)(nil); m == legacy && errors.As(first, &told) && errors.As(err, &plain) {
			first = &denial{what: plain.what, words: told.words}
		}
		if errors.Is(err, errBusy) || ctx.Err() != nil {
			break
		}
	}
	return 0, first // never nil: the last mode covers everybody
}

// impersonationTimeout bounds the reviews of one impersonation request, all modes together.
func impersonationTimeout(req *impersonationRequest) time.Duration {
	return min(reviewTimeout+time.Duration(req.values())*timeoutPerValue, maxImpersonationTimeout)
}
