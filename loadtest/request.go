package main

import (
	"net/http"
	"net/url"
	"strconv"

	"edge/streams/spdy"
)

// newRequest builds the HTTP request that opens a session of kind k. seconds is for watches only:
// the server ends a watch after this time.
func newRequest(k *kind, o *options, base *url.URL, seconds int) (*http.Request, error) {
	path := base.JoinPath("api", "v1", "namespaces", o.namespace, "pods")
	query := url.Values{}
	method := http.MethodGet
	switch {
	case k.isWatch():
		query.Set("watch", "1")
		query.Set("allowWatchBookmarks", "true")
		query.Set("timeoutSeconds", strconv.Itoa(seconds))
	case k.subresource == "exec":
		query["command"] = o.command
		for _, stream := range []string{"stdin", "stdout", "stderr"} {
			query.Set(stream, "true")
		}
		if o.container != "" {
			query.Set("container", o.container)
		}
	}
	if !k.isWatch() {
		path = path.JoinPath(o.pod, k.subresource)
	}
	if k.protocol == spdy.Protocol {
		method = http.MethodPost
	}
	path.RawQuery = query.Encode()
	return http.NewRequest(method, path.String(), nil) //nolint:noctx // the caller sets the context
}
