package bridge_test

import (
	"context"
	"io"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"edge/bridge"
)

// upstreams are the protocols that edge can use to the API server.
var upstreams = []bridge.Streaming{bridge.StreamingSPDY, bridge.StreamingWebSocket}

// clientNamed returns the execClient with this name.
func clientNamed(name string) execClient {
	for _, c := range execClients {
		if c.name == name {
			return c
		}
	}
	panic("no client " + name)
}

// execClient is a client of exec in one dialect (protocol and subprotocol).
type execClient struct {
	name      string
	websocket bool
	channels  bool // true: the client is a channelClient, not client-go
	protocol  string
	stdinEnds bool // true: the dialect can signal the end of stdin
	codes     bool // true: the dialect carries exit codes
}

// execClients are clients in all exec dialects that edge translates, except SPDY v1: with v1,
// client-go may return before it has read the error stream, and report a failed command as a
// success. TestSPDYWire covers v1.
var execClients = []execClient{
	{name: "websocket v5", websocket: true, protocol: "v5.channel.k8s.io", stdinEnds: true, codes: true},
	{name: "websocket v4", websocket: true, protocol: "v4.channel.k8s.io", codes: true},
	{name: "websocket v4 base64", websocket: true, channels: true, protocol: "v4.base64.channel.k8s.io", codes: true},
	{name: "websocket v1", websocket: true, channels: true, protocol: "channel.k8s.io"},
	{name: "websocket v1 base64", websocket: true, channels: true, protocol: "base64.channel.k8s.io"},
	{name: "websocket unnamed", websocket: true, channels: true},
	{name: "spdy v5", protocol: "v5.channel.k8s.io", stdinEnds: true, codes: true},
	{name: "spdy v4", protocol: "v4.channel.k8s.io", stdinEnds: true, codes: true},
	{name: "spdy v3", protocol: "v3.channel.k8s.io", stdinEnds: true},
	{name: "spdy v2", protocol: "v2.channel.k8s.io", stdinEnds: true},
}

// executor returns client-go's executor for an exec or attach on a server.
func (c execClient) executor(s *httptest.Server, verb, query string) remotecommand.Executor {
	cfg, u := configFor(s), podURL(s, verb, query)
	if c.websocket {
		return must(remotecommand.NewWebSocketExecutorForProtocols(cfg, "GET", u.String(), c.protocol))
	}
	transport, upgrader, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		panic(err)
	}
	return must(remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", u, c.protocol))
}

// command is what a client requests: an exec or attach, and its stdin.
type command struct {
	verb  string    // "" means exec
	stdin io.Reader // nil: no stdin
	tty   bool
	sizes remotecommand.TerminalSizeQueue
}

// outcome is everything that a client receives when it runs a command.
type outcome struct {
	stdout, stderr string
	err            error
}

// do runs a command on the server s to its end, for at most the duration of the constant patience.
func (c execClient) do(t testing.TB, s *httptest.Server, cmd command) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return c.doUntil(ctx, s, cmd)
}

func (c execClient) doUntil(ctx context.Context, s *httptest.Server, cmd command) outcome {
	var stdout, stderr syncBuffer // client-go may still write after ctx has ended
	opts := remotecommand.StreamOptions{Stdin: cmd.stdin, Stdout: &stdout, Tty: cmd.tty, TerminalSizeQueue: cmd.sizes}
	query := "command=run&container=c&stdout=true"
	if cmd.stdin != nil {
		query += "&stdin=true"
	}
	if cmd.tty {
		query += "&tty=true"
	} else {
		query += "&stderr=true"
		opts.Stderr = &stderr
	}
	verb := cmd.verb
	if verb == "" {
		verb = "exec"
	}
	if c.channels {
		return c.doChannels(ctx, s, verb, query, cmd)
	}
	err := c.executor(s, verb, query).StreamWithContext(ctx, opts)
	return outcome{stdout: stdout.String(), stderr: stderr.String(), err: err}
}

// sizes is a terminal for client-go. It reports the sizes in the channel one after another.
type sizes chan remotecommand.TerminalSize

// Next implements remotecommand.TerminalSizeQueue.
func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}
