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

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

const (
	// maxLastModes and lastModeAge bound what is remembered of requestors: which mode to try first. It decides nothing.
	maxLastModes = 10_000
	lastModeAge  = time.Hour
)

// A mode is a way to be allowed to impersonate (KEP-5284): verbs of its own, for some targets only.
type mode struct {
	name   string // of the verbs impersonate:<name> and impersonate-on:<name>:<verb>; "" is plain impersonate
	covers func(w *wish, requestor Identity) bool
}

// modes has the narrowest right first, as kube-apiserver does, and the one that every version has last.
var modes = [...]mode{
	{"associated-node", func(w *wish, requestor Identity) bool {
		node, ok := nodeOf(w)
		own := requestor.Requestor.GetExtra()[serviceaccount.NodeNameKey]
		return ok && isServiceAccount(requestor.Name) && len(own) == 1 && own[0] == node
	}},
	{"arbitrary-node", func(w *wish, _ Identity) bool {
		_, ok := nodeOf(w)
		return ok
	}},
	{"serviceaccount", func(w *wish, _ Identity) bool { return w.nameOnly() && isServiceAccount(w.name) }},
	{"user-info", func(w *wish, _ Identity) bool {
		_, node := nodeName(w.name)
		return !node && !isServiceAccount(w.name)
	}},
	{"", func(*wish, Identity) bool { return true }},
}

const (
	associatedNode = 0
	legacy         = len(modes) - 1
)

func (m *mode) constrained() bool { return m.name != "" }

func (m *mode) verb() string {
	if m.constrained() {
		return "impersonate:" + m.name
	}
	return "impersonate"
}

const (
	// valueTime is what each value that is wished for adds to the time for all: maxParallel reviews are under way at a time, and
	// an API server that is far away, or busy, may take 160 ms for each.
	valueTime = 20 * time.Millisecond
	// mostWishTime is kube-apiserver's own bound of a request.
	mostWishTime = time.Minute
)

// wishTime bounds the reviews of one wish, all modes together.
func wishTime(w *wish) time.Duration {
	return min(reviewTimeout+time.Duration(w.values())*valueTime, mostWishTime)
}

// review asks whether the requestor may be whom it wishes to be, and returns the groups that it then has.
func (p *Policy) review(ctx context.Context, requestor Identity, w *wish, r Request) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, wishTime(w))
	defer cancel()
	a := attempt{policy: p, requestor: requestor, wish: w, stream: r.Stream}
	if p.constrained == nil || !p.constrained(ctx) {
		return w.groups, a.told(a.values(ctx, legacy))
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
		return nil, a.told(err)
	}
	if _, node := nodeOf(w); node && modes[allowed].constrained() {
		return []string{user.NodesGroup}, nil // edge's own impersonation upstream is the plain one, which adds no group for a node
	}
	return w.groups, nil
}

// anyMode returns the first mode that allows the wish; the one that last did for this requestor is tried first. If none does,
// the first refusal is the one to tell, as the API server does; but of what is not allowed, what the plain right lacks says
// more than that a narrower mode is closed.
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
		if !modes[m].covers(a.wish, a.requestor) {
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

var (
	hashSeed        = maphash.MakeSeed()
	errNoAttributes = errors.New("impersonate: nobody says what the request is")
)

// associatedExtra is what a review in the first mode is told of a requestor's extras: their keys, so that an answer counts for
// the same account on all nodes. The node itself was compared before.
func associatedExtra(u user.Info) map[string][]string {
	return map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.GetExtra()))}
}

func (w *wish) nameOnly() bool { return w.uid == "" && len(w.groups) == 0 && len(w.extra) == 0 }

// nodeOf returns the node that is wished for, if nothing else is.
func nodeOf(w *wish) (string, bool) {
	name, ok := nodeName(w.name)
	return name, ok && w.nameOnly()
}

func nodeName(username string) (string, bool) {
	name, ok := strings.CutPrefix(username, "system:node:")
	return name, ok && len(validation.NameIsDNSSubdomain(name, false)) == 0
}

func isServiceAccount(username string) bool {
	_, _, err := serviceaccount.SplitUsername(username)
	return err == nil
}
