package main

import (
	"net/http"
	"net/url"
	"strconv"

	"edge/streams/spdy"
	"edge/streams/ws"
)

// kind is what a session can be. One without attach is a watch.
type kind struct {
	name        string
	subresource string
	protocol    string // of the Upgrade header
	offer       string // the subprotocol
	attach      func(w *wire, port uint16) (link, error)
}

const webSocket = "websocket"

var kinds = []kind{
	{"exec", "exec", webSocket, ws.V5, execOverWebSocket},
	{"exec-spdy", "exec", spdy.Protocol, ws.V4, execOverSPDY},
	{"port-forward", "portforward", webSocket, ws.TunnelPortForward, forwardOverTunnel},
	{"port-forward-spdy", "portforward", spdy.Protocol, spdy.PortForwardV1, forwardOverSPDY},
	{name: "watch"},
}

func (k *kind) isWatch() bool { return k.attach == nil }

// request asks for a session of a pod, or for a watch, which ends by itself after so many seconds.
func (k *kind) request(o *options, base *url.URL, seconds int) (*http.Request, error) {
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
	return http.NewRequest(method, path.String(), nil)
}
