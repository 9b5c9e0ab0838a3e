package impersonate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// clientIPKey is the extra key that a client's address travels in.
const clientIPKey = "remote-client-ip"

// An Asker asks the API server whether somebody may do something, and says its reason. An error is neither yes nor no.
// [Reviewer] is one.
type Asker interface {
	Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, err error)
}

type noAsker struct{}

func (noAsker) Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	return false, "", internal(errors.New("there is no reviewer"), "nobody is there to be asked")
}

// PolicyConfig is what an administrator decides about identities.
type PolicyConfig struct {
	// Ask is asked whether a requestor may impersonate; nil: nobody can be asked, and so nobody may.
	Ask Asker
	// AllowSystem has the user names and groups under "system:" that an authenticator may mint, whole: there are no wildcards.
	AllowSystem []string
	// Constrained tells whether the API server offers constrained impersonation (KEP-5284); nil: it does not. See [Offer].
	Constrained func(context.Context) bool
	// DropUnusable lets a user go on without the groups that are of no use upstream: those that no header can carry, and the
	// empty one. Otherwise one of them is a refusal. It is about who authenticated, not about whom a client wishes to be.
	DropUnusable bool
	// Extra is set in every identity, and replaces what it has of the same keys. Keys are lower case.
	Extra map[string][]string
	// ClientIP adds the client's address as the extra key remote-client-ip, and lets nobody else set it.
	ClientIP bool
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
		case isRecord(key) || key == user.CredentialIDKey || c.ClientIP && key == clientIPKey:
			return nil, fmt.Errorf("extra key %s: edge itself sets it", quote(key))
		case !allIntact(values):
			return nil, fmt.Errorf("extra key %s: a value has a control character, or white space around it", quote(key))
		}
		p.extra[key] = slices.Clone(values)
	}
	return p, nil
}

// Request is what a decision is made from, beside the requestor.
type Request struct {
	// Header is the client's. It is only read.
	Header http.Header
	// Attributes are those of the request as it arrived; their user is not looked at. It is called when they are needed.
	Attributes func() (authorizer.Attributes, error)
	// Stream: the request begins an exec, attach or port-forward, for which constrained impersonation is asked for create as well
	// as for the request's own verb.
	Stream bool
	// ClientIP is the client's address, if it is known.
	ClientIP string
	// Bearer: the requestor was authenticated by a bearer token, see [Identity].
	Bearer bool
	// Anonymous: nobody authenticated, and the requestor is whom edge's own chain takes for nobody.
	Anonymous bool
}

// Identity returns whom the request goes upstream as: the requestor, or whom it wishes to be and, by the API server's word,
// may be. An error has a Status for the client: 400 for headers that make no wish, 403 for a refusal, 429 if too much is being
// reviewed, 500 or 503 if nobody knows. It takes 10 s at most, a minute with very many groups, and no time if there is nothing to
// ask.
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
		if err := id.checkSystem(p.system); err != nil {
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
	w, err := readWish(r.Header)
	if err != nil {
		return Identity{}, err
	}
	if w != nil {
		if id, err = p.grant(ctx, id, w, r); err != nil {
			return Identity{}, err
		}
	}
	p.addExtra(&id, r.ClientIP)
	id.Bearer = r.Bearer
	return id, nil
}

// isNobody tells whether the names under "system:" are those of who comes without a credential, and not an issuer's.
func (r *Request) isNobody(u user.Info) bool {
	groups := u.GetGroups()
	return r.Anonymous && u.GetName() == user.Anonymous && len(groups) == 1 && groups[0] == user.AllUnauthenticated
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

// grant returns the identity that the requestor wishes for, if it may, with a record of who asked.
func (p *Policy) grant(ctx context.Context, requestor Identity, w *wish, r Request) (Identity, error) {
	groups, err := p.review(ctx, requestor, w, r)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Name: w.name, UID: w.uid, Groups: groups, Extra: make(map[string][]string, len(w.extra)+4), Nested: true}
	id.Requestor, id.Dropped = requestor.Requestor, requestor.Dropped
	maps.Copy(id.Extra, w.extra)
	if err := addRecord(id.Extra, id.Requestor); err != nil {
		return Identity{}, err
	}
	if err := id.check(); err != nil { // the record is checked too
		return Identity{}, err
	}
	return id, nil
}
