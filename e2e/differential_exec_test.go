package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/cluster"
)

// TestExecDialects checks exec in every dialect (protocol and subprotocol): a client must observe
// the same through edge as directly at the API server. With the flag -matrix, every combination
// runs.
func TestExecDialects(t *testing.T) {
	forEachPair(t, rawclient.Execs, func(t *testing.T, p pair) {
		for n, sc := range slices.Concat(execScenarios, closeScenarios()) {
			if !p.runs(n) {
				continue
			}
			if sc.skip != nil && sc.skip(p.d) != "" {
				continue
			}
			if sc.stdin && p.upstream == overWebSocket && p.site.cluster.Kind == cluster.Old {
				continue
			}
			t.Run(sc.name, func(t *testing.T) { p.compare(t, "exec", sc) })
		}
	})
}

var execScenarios = []scenario{
	exits(0), exits(7), exits(255),
	{name: "100,000 lines", run: shell(hundredThousand), check: wantLines},
	{name: "empty output", run: shell("true"), check: wantBytes(0)},
	sends("0 B", size(0)), sends("1 B", size(1)), sends("64 KiB", size(64<<10)), sends("200 MB", bulk),
	{name: "half-close, then output", stdin: true, skip: noHalfClose, run: halfClose, differs: translated, check: wantText("after 5\n")},
	{name: "50 resizes", stdin: true, skip: noResize, run: fiftyResizes, check: wantText("resized 50 times\r\n")},
	{name: "command not found", run: command("/no/such/command"), differs: translated, check: wantFailure},
	{name: "container not found", run: noContainer, check: wantRefusal},
	{name: "forbidden", run: forbid, check: wantRefusal},
	{name: "unknown to its node", run: lostPod, differs: refusedByNode, check: wantUnknown},
	{name: "client gone", stdin: true, run: clientGone, check: wantAfter},
	{name: "killed by a signal", run: shell("kill -9 $$"), differs: translated, check: wantFailure},
}

// hundredThousand is a shell script that prints 100,000 lines: 500 lines on stdout, then 500 on
// stderr, and so on.
const hundredThousand = `awk 'BEGIN { for (i = 1; i <= 50000; i++) { s = s i "\n"; if (i % 500 == 0) { printf "%s", s; fflush(); printf "%s", s >"/dev/stderr"; s = "" } } }'`

// shell returns the run function of a scenario: an exec of a shell script without stdin.
func shell(script string) func(context.Context, attempt) (rawclient.Observation, error) {
	return command("sh", "-c", script)
}

func command(argv ...string) func(context.Context, attempt) (rawclient.Observation, error) {
	return func(ctx context.Context, r attempt) (rawclient.Observation, error) {
		return r.d.Exec(ctx, r.to, rawclient.Exec{Pod: "shell", Command: argv})
	}
}

func exits(code int) scenario {
	return scenario{
		name: fmt.Sprintf("exit code %d", code), differs: failureOf(code), run: shell(fmt.Sprintf("echo out; echo err >&2; exit %d", code)),
		check: func(d rawclient.Dialect, o rawclient.Observation) error {
			if (code == 0) != o.OK() || o.Stdout.Head != "out\n" || o.Stderr.Head != "err\n" {
				return fmt.Errorf("the result is not exit code %d with the expected output", code)
			}
			return nil
		},
	}
}

// failureOf returns the expected difference of a command that ends with this exit code; nil: none.
func failureOf(code int) func(pair) *difference {
	if code == 0 {
		return nil
	}
	return translated
}

func size(n int) func(rawclient.Dialect) int { return func(rawclient.Dialect) int { return n } }

// bulk returns how many bytes a scenario sends to stdin in a dialect: 200 MB, or 20 MB to save
// time. The dialects with 20 MB are base64, which would cost the test's client too much CPU, and
// dialects that send stdin in the same frames as a dialect with 200 MB.
func bulk(d rawclient.Dialect) int {
	switch d.Name {
	// 200 MB in these dialects; in spdy v5 too, so that its result can be compared with that of
	// spdy v4
	case "websocket v5", "spdy v4", "spdy v5":
		return 200_000_000
	}
	return 20_000_000
}

// sends returns a scenario in which the client sends bytes to stdin and the command prints their
// hash. If the dialect has no half-close, the command reads a fixed number of bytes.
func sends(title string, size func(rawclient.Dialect) int) scenario {
	return scenario{
		name: "stdin of " + title, stdin: true, heavy: title == "200 MB",
		run: func(ctx context.Context, r attempt) (rawclient.Observation, error) {
			n := size(r.d)
			script := fmt.Sprintf("head -c %d | sha256sum", n)
			if r.d.HalfClose {
				script = "sha256sum"
			}
			return r.d.Exec(ctx, r.to, rawclient.Exec{
				Pod: "shell", Command: []string{"sh", "-c", script}, Stdin: true,
				Do: func(s *rawclient.Session) error {
					if err := copyPattern(s, n); err != nil {
						return err
					}
					if r.d.HalfClose {
						return s.End()
					}
					return nil
				},
			})
		},
		check: func(d rawclient.Dialect, o rawclient.Observation) error {
			if !strings.HasPrefix(o.Stdout.Head, patternHash(size(d))) {
				return errors.New("the output is not the hash of the sent bytes")
			}
			return nil
		},
	}
}

func noHalfClose(d rawclient.Dialect) string {
	if d.HalfClose {
		return ""
	}
	return "the dialect has no half-close of stdin"
}

func noResize(d rawclient.Dialect) string {
	if d.Resize {
		return ""
	}
	return "the dialect has no resize"
}

func halfClose(ctx context.Context, r attempt) (rawclient.Observation, error) {
	return r.d.Exec(ctx, r.to, rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", "n=$(wc -c); sleep 0.3; echo after $n; exit 3"}, Stdin: true,
		Do: func(s *rawclient.Session) error {
			if _, err := s.Write([]byte("input")); err != nil {
				return err
			}
			return s.End()
		},
	})
}

// fiftyResizes changes the terminal's size 50 times. After each change it waits until the command
// sees the new size, so that no change is skipped.
func fiftyResizes(ctx context.Context, r attempt) (rawclient.Observation, error) {
	// The shell is told of a new size by SIGWINCH; wait lets it handle the signal at once.
	const script = `trap 'stty size' WINCH; echo ready
		until [ "$(stty size 2>/dev/null)" = "150 250" ]; do sleep 1 & wait $!; done; echo resized 50 times`
	return r.d.Exec(ctx, r.to, rawclient.Exec{
		// the client opens stdin, because without stdin the container runtime closes the terminal
		// of a WebSocket client immediately
		Pod: "shell", Command: []string{"sh", "-c", script}, Stdin: true, TTY: true,
		Do: func(s *rawclient.Session) error {
			if err := s.Expect("ready"); err != nil {
				return err
			}
			for i := 1; i <= 50; i++ {
				if err := s.Resize(200+i, 100+i); err != nil {
					return err
				}
				if err := s.Expect(fmt.Sprintf("%d %d\r\n", 100+i, 200+i)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func noContainer(ctx context.Context, r attempt) (rawclient.Observation, error) {
	return r.d.Exec(ctx, r.to, rawclient.Exec{Pod: "shell", Container: "none", Command: []string{"true"}})
}

func forbid(ctx context.Context, r attempt) (rawclient.Observation, error) {
	return r.d.Exec(ctx, r.other, rawclient.Exec{Pod: "shell", Command: []string{"true"}})
}

func wantRefusal(_ rawclient.Dialect, o rawclient.Observation) error {
	if !strings.HasPrefix(o.Refusal, "4") {
		return errors.New("the request was not refused")
	}
	return nil
}

func wantFailure(_ rawclient.Dialect, o rawclient.Observation) error {
	if o.Refusal != "" || o.OK() {
		return errors.New("the command did not fail")
	}
	return nil
}

func wantBytes(n int64) func(rawclient.Dialect, rawclient.Observation) error {
	return func(_ rawclient.Dialect, o rawclient.Observation) error {
		if o.Stdout.Bytes != n || !o.OK() {
			return fmt.Errorf("want success and %d bytes of output", n)
		}
		return nil
	}
}

func wantText(text string) func(rawclient.Dialect, rawclient.Observation) error {
	return func(_ rawclient.Dialect, o rawclient.Observation) error {
		if !strings.HasSuffix(o.Stdout.Head, text) {
			return fmt.Errorf("the output does not end with %q", text)
		}
		return nil
	}
}

func wantLines(_ rawclient.Dialect, o rawclient.Observation) error {
	h := sha256.New()
	for i := 1; i <= 50_000; i++ {
		fmt.Fprintln(h, i)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); o.Stdout.SHA256 != sum || o.Stderr.SHA256 != sum {
		return errors.New("the output is not 50,000 lines on each stream")
	}
	return nil
}

// lostPod runs exec in a pod that exists at the API server but is unknown to its node's kubelet.
func lostPod(ctx context.Context, r attempt) (rawclient.Observation, error) {
	return r.d.Exec(ctx, r.to, rawclient.Exec{Pod: cluster.LostPod, Command: []string{"true"}})
}

func wantUnknown(d rawclient.Dialect, o rawclient.Observation) error {
	if !strings.HasPrefix(o.Refusal, "404") && d.Name != "websocket v5" {
		return errors.New("the request was not refused with 404")
	}
	return nil
}
