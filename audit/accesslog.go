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

// The two messages of an access log line. kube-oidc-proxy's log has the words AuSuccess and AuFail
// too, and tools search for them.
const (
	success = "AuSuccess" // edge authenticated the requestor and accepts the identity; the request may still fail later
	failure = "AuFail"    // edge did not authenticate the requestor, or refuses the identity
)

// Limits on the values in an access log line, in bytes.
const (
	maxAgent  = 256 // of a User-Agent, and of an X-Request-Id
	maxReason = 512
	maxMethod = 32
)

// usualAttrs is the number of attributes for which an access log line allocates space; few lines
// have more.
const usualAttrs = 16

// headerAuditID is the canonical key of Audit-ID in an http.Header: with any other spelling, Get
// allocates.
const headerAuditID = "Audit-Id"

// accessLog writes one line per request, when the request ends.
type accessLog struct{ log *slog.Logger }

// NewAccessLog returns the Observer that writes the access log: one line of level Info per request.
// The logger's handler decides whether the line is text or JSON.
func NewAccessLog(log *slog.Logger) bridge.Observer { return accessLog{log} }

func (a accessLog) Begin(r *http.Request) bridge.Observation {
	l := &accessLine{log: a.log, message: failure, attrs: make([]slog.Attr, 0, usualAttrs)}
	l.add("source", bounded(bridge.ClientIP(r), maxName))
	// Package bridge has already rewritten X-Forwarded-For. It has several addresses only if
	// --trusted-proxies confirmed them. A single address is the one that the field source shows.
	if way := r.Header.Get("X-Forwarded-For"); strings.Contains(way, ",") {
		l.add("xForwardedFor", bounded(way, maxList))
	}
	// Clone the method: a substring would keep the whole request line, with the URL, in memory.
	l.add("method", bounded(strings.Clone(r.Method), maxMethod))
	l.uri = len(l.attrs)
	l.add("uri", loggedURI(r.URL))
	l.add("proto", bounded(strings.Clone(r.Proto), maxMethod))
	l.add("userAgent", bounded(r.UserAgent(), maxAgent))
	l.add("audit-ID", bounded(r.Header.Get(headerAuditID), maxName))
	if id := r.Header.Get("X-Request-Id"); id != "" {
		l.add("xRequestId", bounded(id, maxAgent))
	}
	return l
}

// accessLine is the access log line of one request, until it is written. accessLine keeps no
// reference to the request, because a stream may last for days.
type accessLine struct {
	log     *slog.Logger
	message string
	attrs   []slog.Attr
	uri     int // index of the URI in the field attrs
}

func (l *accessLine) add(key string, value any) { l.attrs = append(l.attrs, slog.Any(key, value)) }

func (l *accessLine) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	if id.Requestor != nil {
		l.addUser("user", "groups", "uid", id.Requestor.GetName(), id.Requestor.GetGroups(), id.Requestor.GetUID())
	}
	if len(id.Dropped) > 0 {
		l.add("droppedGroups", newList(id.Dropped))
	}
	if refused != nil {
		// Log the URL as it is after authentication, which removes the request's token from the URL.
		l.attrs[l.uri] = slog.Any("uri", loggedURI(r.URL))
		l.add("reason", bounded(refused.Error(), maxReason))
		return nil
	}
	l.message = success
	if id.Requestor == nil {
		return nil
	}
	if id.Nested {
		l.addUser("asUser", "asGroups", "asUid", id.Name, id.Groups, id.UID)
	}
	if added := addedExtra(id); len(added) > 0 {
		l.add("asExtra", newList(added))
	}
	return nil
}

func (l *accessLine) addUser(nameKey, groupsKey, uidKey, name string, groups []string, uid string) {
	l.add(nameKey, bounded(name, maxName))
	if len(groups) > 0 {
		l.add(groupsKey, newList(groups))
	}
	if uid != "" {
		l.add(uidKey, bounded(uid, maxName))
	}
}

// Streaming adds nothing to the access log line, which is written when the stream ends.
func (l *accessLine) Streaming(bridge.Stream) error { return nil }

func (l *accessLine) Started(int) {}

func (l *accessLine) Ended(end bridge.End) {
	l.add("status", end.Code)
	if end.Refusal != "" {
		l.add("refusal", string(end.Refusal))
	}
	l.add("bytesIn", end.In)
	l.add("bytesOut", end.Out)
	l.add("duration", end.Duration.Round(time.Microsecond))
	if end.Cut {
		l.add("cut", true)
	}
	if s := end.Stream; s != nil {
		l.add("session", s.ID)
		l.add("downstream", s.Downstream)
		l.add("upstream", s.Upstream)
		l.add("cause", bounded(s.Detail, maxReason))
	}
	l.write()
}

// write writes the line. It does not use the methods of slog.Logger, because these look for the
// caller's place in the source, which no line shows.
func (l *accessLine) write() {
	if !l.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, l.message, 0)
	// The attributes of a group without a name are those of the line, and slog need not copy them.
	line.AddAttrs(slog.Attr{Value: slog.GroupValue(l.attrs...)})
	_ = l.log.Handler().Handle(context.Background(), line) // slog.Logger ignores this error, too: there is no place to report it
}

// addedExtra lists the user extras (Impersonate-Extra headers) that go upstream and that are not
// among the requestor's own extras, as key=value, in order of the keys.
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
