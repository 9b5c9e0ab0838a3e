package audit

import (
	"net/url"
	"strings"
)

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
