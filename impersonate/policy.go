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

const (
	// maxLastModes and lastModeAge bound a cache: for each requestor, it contains the mode (the
	// kind of right to impersonate) that last worked. The cache only changes which mode edge tries
	// first. It never changes whether a request is allowed.
	maxLastModes = 10_000
	lastModeAge  = time.Hour

	// timeoutPerValue is added to the timeout of an impersonation request for each requested value.
	// maxParallel reviews run at the same time, so a distant or busy API server may take 160 ms for
	// each review.
	timeoutPerValue = 20 * time.Millisecond
	// maxImpersonationTimeout is kube-apiserver's own timeout for a request.
	maxImpersonationTimeout = time.Minute
)

var hashSeed = maphash.MakeSeed()

// PolicyConfig is the administrator's configuration of identities.
type PolicyConfig struct {
	// Ask answers whether a requestor may impersonate a user. Nil: every impersonation fails.
	Ask Asker
	// AllowSystem contains the user names and groups under "system:" that an authenticator may
	// produce. They are whole names, without wildcards.
	AllowSystem []string
	// Constrained reports whether the API server offers constrained impersonation (KEP-5284). Nil:
	// it does not. See [ConstrainedDetector].
	Constrained func(context.Context) bool
	// DropUnusable removes a requestor's groups that are empty or that no header can carry. If it
	// is false, edge refuses a requestor with such a group. DropUnusable does not affect the groups
	// that a client asks to impersonate.
	DropUnusable bool
	// Extra is set in every identity, and replaces the identity's extras with the same keys. Keys
	// are lower case.
	Extra map[string][]string
	// ClientIP makes edge send the client's IP address as the extra remote-client-ip. Then no token
	// or request may set this key.
	ClientIP bool
}

// A Policy decides for which user edge sends a request to the API server: the requestor, or the
// user whom the requestor impersonates. Only the Policy's cache changes. It is safe for concurrent
// use.
type Policy struct {
	ask         Asker
	system      map[string]bool
	drop        bool // remove unusable groups, see PolicyConfig.DropUnusable
	constrained func(context.Context) bool
	extra       map[string][]string
	clientIP    bool
	lastModes   *cache.LRUExpireCache // index in modes (int) of the mode that last worked; key: hash of the requestor's name
}

// NewPolicy returns a Policy, or an error that names the invalid part of the configuration.
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
			return nil, fmt.Errorf("extra key %s: a value has a control character, or white space at its beginning or end", quote(key))
		}
		p.extra[key] = slices.Clone(values)
	}
	return p, nil
}

// Identity returns the user for whom edge sends the request upstream: the requestor, or the user
// whom the requestor impersonates if the API server allows it. Errors have a Status for the client:
// 400 for invalid impersonation headers, 403 for a refusal, 429 if too many reviews are running,
// 500 or 503 if a review has no answer. Identity takes at most 10 s, and at most a minute with very
// many groups. Without an impersonation it sends no review.
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
	if unusable >= 0 { // remove unusable groups only after all groups were checked, so that a removed group cannot hide a forbidden one
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

// grant returns the identity that the client asks to impersonate, if the requestor may impersonate
// it. The identity contains a record of the requestor.
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
	if err := id.check(); err != nil { // also checks the record of the requestor in id.Extra
		return Identity{}, err
	}
	return id, nil
}

// review asks the API server whether the requestor may impersonate the requested user. It returns
// the groups of the requested user.
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
		// A node needs the group system:nodes. edge impersonates upstream with the plain verb, for
		// which the API server does not add this group.
		return []string{user.NodesGroup}, nil
	}
	return req.groups, nil
}

// anyMode returns the index of the first mode that allows the request. A mode is a kind of right to
// impersonate. anyMode first tries the mode that last allowed a request of this requestor. If no
// mode allows the request, the error combines two refusals. It has the API server's message from
// the mode that was tried first, as the API server itself would send it. It names the part of the
// request, such as a group, that the plain mode refuses: this helps a user more than a narrower
// mode that is not allowed at all.
func (p *Policy) anyMode(ctx context.Context, a *attempt) (int, error) {
	// Use a hash as the key, because it has the same size for all names. A collision changes only
	// the order in which the modes are tried.
	key := maphash.String(hashSeed, a.requestor.Name)
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
	return 0, first // first is never nil: the last mode, plain impersonation, covers every request
}

// impersonationTimeout returns the timeout for all reviews of one impersonation request, in all
// modes together.
func impersonationTimeout(req *impersonationRequest) time.Duration {
	return min(reviewTimeout+time.Duration(req.values())*timeoutPerValue, maxImpersonationTimeout)
}
