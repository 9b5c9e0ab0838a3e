package bridge_test

import (
	"io"
	"strings"
	"testing"

	"edge/bridge"
)

// TestEndStream checks that EndStream ends one session of several by its ID, in every dialect
// (protocol and subprotocol). The client must receive the reason, and that the command's outcome is
// unknown. The session's end must have the given cause. The other sessions must continue.
func TestEndStream(t *testing.T) {
	t.Parallel()
	seen := new(witness)
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		_, err := io.Copy(p.out, p.in)
		return err
	}}).start(t), func(c *bridge.Config) { c.Observe = seen })
	other := must(dialChannels(t.Context(), w.edge, "exec", "command=cat&stdin=true&stdout=true", "v4.channel.k8s.io"))
	defer other.Close()
	keystroke(t, other)
	stays := w.handler.Streams()[0].ID
	for i, c := range execClients {
		r, stdin := io.Pipe()
		ended := make(chan outcome, 1)
		go func() { ended <- c.do(t, w.edge, command{stdin: r}) }()
		var stream bridge.Stream
		w.eventually("two sessions", func() bool { return len(w.handler.Streams()) == 2 })
		for _, s := range w.handler.Streams() {
			if s.Verb != "exec" || s.Pod != "web" || s.Downstream == "" || s.Upstream == "" || s.Cause != "" {
				t.Errorf("%+v", s)
			}
			if s.ID != stays {
				stream = s
			}
		}
		if !w.handler.EndStream(stream.ID, "test", "because the test wants it") {
			t.Fatal("there is no such session")
		}
		if got := <-ended; got.err == nil || !strings.Contains(got.err.Error(), "because the test wants it") {
			t.Errorf("%s: ended with %v", c.name, got.err)
		}
		stdin.Close()
		if _, end := seen.account(w, i+2); end.Stream == nil || end.Stream.ID != stream.ID || end.Stream.Cause != "test" || !end.Cut {
			t.Errorf("%s: %+v", c.name, end)
		}
		if w.handler.EndStream(stream.ID, "test", "") {
			t.Error("EndStream ended the session twice")
		}
	}
	keystroke(t, other)
}
