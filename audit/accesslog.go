package audit

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
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
	maxAgent  = 256
	maxReason = 512
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
	l := &accessLine{log: a.log, message: failure, attrs: make([]slog.Attr, 0, usualAttrs)}
	l.add("source", bounded(bridge.ClientIP(r), maxName))
	// Edge's own word. One hop is the peer, and nobody has vouched for anything.
	if way := r.Header.Get("X-Forwarded-For"); strings.Contains(way, ",") {
		l.add("xForwardedFor", bounded(way, maxList))
	}
	l.add("method", bounded(strings.Clone(r.Method), maxMethod)) // not as a part of the request line, which has the URL
	l.uri = len(l.attrs)
	l.add("uri", loggedURI(r.URL))
	l.add("proto", bounded(strings.Clone(r.Proto), maxMethod))
	l.add("userAgent", bounded(r.UserAgent(), maxAgent))
	return l
}

// accessLine is a line in the making. It keeps no request, since a stream may last for days.
type accessLine struct {
	log     *slog.Logger
	message string
	attrs   []slog.Attr
	uri     int // where in attrs the URI is
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
		l.attrs[l.uri] = slog.Any("uri", loggedURI(r.URL)) // a token that was in it is known now, and gone
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

// Streaming has nothing to add: the line is written at the end.
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
	l.log.LogAttrs(context.Background(), slog.LevelInfo, l.message, l.attrs...)
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

// harmless are the query parameters that the access log shows: Kubernetes' own that choose what is asked for and how. Any
// other may be a command's argument, or what an application behind a service's proxy takes for a password.
var harmless = func() map[string]bool {
	known := make(map[string]bool)
	for _, name := range []string{
		"watch", "labelSelector", "fieldSelector", "limit", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "timeout",
		"allowWatchBookmarks", "sendInitialEvents",
		"container", "stdin", "stdout", "stderr", "tty", "ports",
		"follow", "previous", "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "timestamps", "stream",
		"pretty", "dryRun", "fieldManager", "fieldValidation", "force", "gracePeriodSeconds", "propagationPolicy", "orphanDependents",
		"includeObject",
	} {
		known[name] = true
	}
	return known
}()

// maxURI bounds what the access log shows of a URL, in bytes.
const maxURI = 2048

// loggedURI is what the access log says of a URL: the path as it was sent, and the harmless parameters; "..." stands for all
// others, at the end.
func loggedURI(u *url.URL) text {
	var b strings.Builder
	b.WriteString(redactPath(u.EscapedPath()))
	separator, more := byte('?'), false
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		switch {
		case pair == "":
		case b.Len() > maxURI || !harmless[key]: // a name that is escaped is nobody's habit
			more = true
		default:
			b.WriteByte(separator)
			b.WriteString(redactQuery(pair))
			separator = '&'
		}
	}
	if more {
		b.WriteByte(separator)
		b.WriteString(ellipsis)
	}
	return bounded(b.String(), maxURI)
}
