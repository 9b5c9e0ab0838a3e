package bridge_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/tools/remotecommand"
	clientexec "k8s.io/client-go/util/exec"

	"edge/bridge"
)

// script is a process for an exec, and the result that its client must see.
type script struct {
	name   string
	run    func(*process) error
	cmd    func() command
	stdout string
	stderr string
	code   int    // exit code of the process, which the client must get
	fails  string // part of the error that the client must get; "": code alone decides
	ending bool   // true: the process ends only after its stdin has ended
}

func withStdin(s string) func() command {
	return func() command { return command{stdin: strings.NewReader(s)} }
}

// noise returns n pseudorandom bytes, which do not compress and do not repeat.
func noise(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return string(b)
}

func scripts() []script {
	big := noise(1<<20 + 17)
	interleaved := func(p *process) error {
		for i := range 200 {
			fmt.Fprintf(p.out, "o%d ", i)
			fmt.Fprintf(p.err, "e%d ", i)
		}
		return nil
	}
	var o, e strings.Builder
	for i := range 200 {
		fmt.Fprintf(&o, "o%d ", i)
		fmt.Fprintf(&e, "e%d ", i)
	}
	return []script{
		{name: "success without a word", run: func(*process) error { return nil }},
		{name: "exit code 7", run: func(p *process) error {
			fmt.Fprint(p.out, "out")
			fmt.Fprint(p.err, "err")
			return exitError(7)
		}, stdout: "out", stderr: "err", code: 7, fails: "7"},
		{name: "killed", run: func(p *process) error { return exitError(137) }, code: 137, fails: "137"},
		{name: "exit code 255", run: func(p *process) error { return exitError(255) }, code: 255, fails: "255"},
		{name: "the runtime fails", run: func(*process) error { return errors.New("container not running") }, fails: "container not running"},
		{name: "stdout and stderr in turns", run: interleaved, stdout: o.String(), stderr: e.String()},
		{name: "output closed before the end", run: func(p *process) error {
			fmt.Fprint(p.out, "last words")
			p.out.Close()
			p.err.Close()
			return exitError(3)
		}, stdout: "last words", code: 3, fails: "3"},
		{name: "echo of stdin", cmd: withStdin("hello\n"), run: func(p *process) error {
			b := make([]byte, 6)
			io.ReadFull(p.in, b)
			p.out.Write(b)
			return nil
		}, stdout: "hello\n"},
		{name: "output after the end of stdin", ending: true, cmd: withStdin("2 3 1"), run: func(p *process) error {
			b, err := io.ReadAll(p.in)
			fmt.Fprintf(p.out, "read %q, then the end: %v", b, err)
			return nil
		}, stdout: `read "2 3 1", then the end: <nil>`},
		{name: "an empty stdin", ending: true, cmd: withStdin(""), run: func(p *process) error {
			b, err := io.ReadAll(p.in)
			fmt.Fprint(p.out, len(b), err)
			return nil
		}, stdout: "0 <nil>"},
		{name: "1 MiB out", run: func(p *process) error {
			_, err := io.Copy(p.out, strings.NewReader(big))
			return err
		}, stdout: big},
		{name: "1 MiB in", ending: true, cmd: withStdin(big), run: func(p *process) error {
			hash := sha256.New()
			n, err := io.Copy(hash, p.in)
			fmt.Fprintf(p.out, "%d %x", n, hash.Sum(nil))
			return err
		}, stdout: fmt.Sprintf("%d %x", len(big), sha256.Sum256([]byte(big)))},
		{name: "1 MiB both ways", ending: true, cmd: withStdin(big), run: func(p *process) error {
			_, err := io.Copy(p.out, p.in)
			fmt.Fprint(p.err, "done")
			if err == nil {
				err = exitError(1)
			}
			return err
		}, stdout: big, stderr: "done", code: 1, fails: "1"},
		{name: "attach", cmd: func() command { return command{verb: "attach"} }, run: func(p *process) error {
			fmt.Fprint(p.out, p.args)
			return nil
		}, stdout: "[attached]"},
	}
}

// TestExec checks that client-go sees the same result of a command through edge as without edge, in
// every dialect (protocol and subprotocol).
func TestExec(t *testing.T) {
	t.Parallel()
	for _, s := range scripts() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			api := (&apiServer{run: s.run}).start(t)
			for _, streaming := range upstreams {
				w := newWorld(t, api, speaking(streaming))
				for _, c := range execClients {
					if s.ending && !c.stdinEnds {
						continue
					}
					t.Run(c.name+" to "+string(streaming), func(t *testing.T) { s.compare(t, w, c, streaming) })
				}
			}
		})
	}
}

// compare runs a script through edge and directly on the API server, and compares the results.
func (s script) compare(t *testing.T, w *world, c execClient, streaming bridge.Streaming) {
	cmd := func() command {
		if s.cmd == nil {
			return command{}
		}
		return s.cmd()
	}
	got := c.do(t, w.edge, cmd())
	s.check(t, c, got)

	reference := c
	if c.name == "spdy v5" { // container runtimes do not support v5
		reference = clientNamed("spdy v4")
	}
	direct := reference.do(t, w.api, cmd())
	s.check(t, reference, direct)
	if streaming == bridge.StreamingWebSocket && c.name != "websocket v5" {
		return // the error's text is that of the API server's translator and may differ
	}
	if a, b := fmt.Sprint(got.err), fmt.Sprint(direct.err); a != b {
		t.Errorf("ended with %s, and without edge with %s", a, b)
	}
}

func (s script) check(t *testing.T, c execClient, got outcome) {
	t.Helper()
	if got.stdout != s.stdout {
		t.Errorf("stdout has %d bytes, not %d: %.60q", len(got.stdout), len(s.stdout), got.stdout)
	}
	if got.stderr != s.stderr {
		t.Errorf("stderr has %d bytes, not %d: %.60q", len(got.stderr), len(s.stderr), got.stderr)
	}
	var exit clientexec.CodeExitError
	switch {
	case s.fails == "":
		if got.err != nil {
			t.Errorf("ended with %v", got.err)
		}
	case s.code != 0 && c.codes:
		if !errors.As(got.err, &exit) || exit.Code != s.code {
			t.Errorf("ended with %v, not with exit code %d", got.err, s.code)
		}
	default:
		if got.err == nil || !strings.Contains(got.err.Error(), s.fails) {
			t.Errorf("ended with %v, not with %q", got.err, s.fails)
		}
	}
}

// TestTerminal checks that an exec with a terminal has no stderr, and that the terminal's sizes
// arrive complete and in order.
func TestTerminal(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: func(p *process) error {
		typed := make(chan string, 1)
		go func() { // read stdin concurrently: the runtime's WebSocket server stalls on unread data
			line := make([]byte, 5)
			io.ReadFull(p.in, line)
			typed <- string(line)
		}()
		fmt.Fprintf(p.out, "tty %v;", p.tty)
		for range 3 {
			fmt.Fprint(p.out, <-p.resize)
		}
		fmt.Fprint(p.out, <-typed)
		return exitError(130)
	}}).start(t)
	spdy, websocket := newWorld(t, api, speaking(bridge.StreamingSPDY)), newWorld(t, api, speaking(bridge.StreamingWebSocket))
	for _, c := range execClients {
		if c.protocol == "v2.channel.k8s.io" {
			continue // terminal sizes exist since v3
		}
		t.Run(c.name, func(t *testing.T) {
			for _, s := range []*httptest.Server{spdy.edge, websocket.edge, spdy.api} {
				if c.name == "spdy v5" && s == spdy.api {
					continue // container runtimes do not support v5
				}
				queue := make(sizes, 3)
				queue <- remotecommand.TerminalSize{Width: 80, Height: 24}
				queue <- remotecommand.TerminalSize{Width: 132, Height: 50}
				queue <- remotecommand.TerminalSize{Width: 1, Height: 65535}
				close(queue)
				want := "tty true;{80 24}{132 50}{1 65535}exit\n"
				cmd := command{stdin: bytes.NewReader([]byte("exit\n")), tty: true, sizes: queue}
				got := c.do(t, s, cmd)
				if got.stdout != want {
					t.Errorf("stdout is %q", got.stdout)
				}
				var exit clientexec.CodeExitError
				if c.codes && (!errors.As(got.err, &exit) || exit.Code != 130) {
					t.Errorf("ended with %v", got.err)
				}
			}
		})
	}
}

// TestStdinThatNobodyReads checks a process that ends while its client still sends stdin. The
// process's last output may be lost on its way to edge, as it may be lost for a client without
// edge. The client must never see success.
func TestStdinThatNobodyReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		fmt.Fprint(p.out, "no thanks")
		return exitError(4)
	}, bare: true}).start(t))
	for _, c := range execClients {
		got := c.do(t, w.edge, command{stdin: strings.NewReader(noise(512 << 10))})
		var exit clientexec.CodeExitError
		known := errors.As(got.err, &exit) && exit.Code == 4 && got.stdout == "no thanks"
		if got.err == nil || c.codes && !known && !strings.Contains(got.err.Error(), "before the command's outcome was known") {
			t.Errorf("%s: %q, %v", c.name, got.stdout, got.err)
		}
	}
}
