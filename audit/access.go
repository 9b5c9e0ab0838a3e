package audit

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// The words that an access line begins with. Who reads kube-oidc-proxy's log looks for these.
const (
	success = "AuSuccess" // it is known who asked, and as whom it goes on; whatever came of it
	failure = "AuFail"    // it is not, or may not
)

// How much of each value a line shows, in bytes.
const (
	maxName   = 256
	maxAgent  = 256
	maxReason = 512
	maxURI    = 2048
	maxMethod = 32
)

// usualAttrs is how many values most lines have at most.
const usualAttrs = 15

// accessLog is one line per request, written when it ends.
type accessLog struct{ log *slog.Logger }

// NewAccessLog returns the Observer that writes the access log, one line of level Info per request. Whether it is text or
// JSON is the logger's.
func NewAccessLog(log *slog.Logger) bridge.Observer { return accessLog{log} }

func (a accessLog) Begin(r *http.Request) bridge.Observation {
	v := &visit{log: a.log, message: failure, line: make([]slog.Attr, 0, usualAttrs)}
	v.add("source", bounded(bridge.ClientIP(r), maxName))
	// Edge's own word. One hop is the peer, and nobody has vouched for anything.
	if way := r.Header.Get("X-Forwarded-For"); strings.Contains(way, ",") {
		v.add("xForwardedFor", bounded(way, maxList))
	}
	v.add("method", bounded(strings.Clone(r.Method), maxMethod)) // not as a part of the request line, which has the URL
	v.uri = len(v.line)
	v.add("uri", loggedURI(r.URL))
	v.add("proto", bounded(strings.Clone(r.Proto), maxMethod))
	v.add("userAgent", bounded(r.UserAgent(), maxAgent))
	return v
}

// visit is a line in the making. It keeps no request, since a stream may last for days.
type visit struct {
	log     *slog.Logger
	message string
	line    []slog.Attr
	uri     int // where in it the URI is
}

func (v *visit) add(key string, value any) { v.line = append(v.line, slog.Any(key, value)) }

func (v *visit) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	if id.Requestor != nil {
		v.addUser("user", "groups", "uid", id.Requestor.GetName(), id.Requestor.GetGroups(), id.Requestor.GetUID())
	}
	if len(id.Dropped) > 0 {
		v.add("droppedGroups", newList(id.Dropped))
	}
	if refused != nil {
		v.line[v.uri] = slog.Any("uri", loggedURI(r.URL)) // a token that was in it is known now, and gone
		v.add("reason", bounded(refused.Error(), maxReason))
		return nil
	}
	v.message = success
	if id.Requestor == nil {
		return nil
	}
	if id.Nested {
		v.addUser("asUser", "asGroups", "asUid", id.Name, id.Groups, id.UID)
	}
	if added := addedExtra(id); len(added) > 0 {
		v.add("asExtra", newList(added))
	}
	return nil
}

func (v *visit) addUser(nameKey, groupsKey, uidKey, name string, groups []string, uid string) {
	v.add(nameKey, bounded(name, maxName))
	if len(groups) > 0 {
		v.add(groupsKey, newList(groups))
	}
	if uid != "" {
		v.add(uidKey, bounded(uid, maxName))
	}
}

// Streaming has nothing to add: the line is written at the end.
func (v *visit) Streaming(bridge.Stream) error { return nil }

func (v *visit) Started(int) {}

func (v *visit) Ended(end bridge.End) {
	v.add("status", end.Code)
	if end.Refusal != "" {
		v.add("refusal", string(end.Refusal))
	}
	v.add("bytesIn", end.In)
	v.add("bytesOut", end.Out)
	v.add("duration", end.Duration.Round(time.Microsecond))
	if end.Cut {
		v.add("cut", true)
	}
	if s := end.Stream; s != nil {
		v.add("session", s.ID)
		v.add("downstream", s.Downstream)
		v.add("upstream", s.Upstream)
		v.add("cause", bounded(s.Detail, maxReason))
	}
	v.log.LogAttrs(context.Background(), slog.LevelInfo, v.message, v.line...)
}

// addedExtra lists what goes upstream in the extras that the requestor's own do not say, as key=value, in order.
func addedExtra(id impersonate.Identity) []string {
	var added []string
	own := id.Requestor.GetExtra()
	for _, key := range slices.Sorted(maps.Keys(id.Extra)) {
		if strings.HasPrefix(key, originalUser) || key == user.CredentialIDKey || slices.Equal(id.Extra[key], own[key]) {
			continue
		}
		for _, value := range id.Extra[key] {
			added = append(added, key+"="+value)
		}
	}
	return added
}
