package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"edge/e2e/rawclient"
	"edge/e2e/testbed"
)

// TestExecDialects: whoever execs through edge observes what they would at the API server, in every dialect.
func TestExecDialects(t *testing.T) {
	forEachPair(t, rawclient.Execs, func(t *testing.T, p pair) {
		for _, sc := range execScenarios {
			if sc.skip != nil && sc.skip(p.d) != "" {
				continue
			}
			if sc.stdin && p.upstream == overWebSocket && p.site.cluster.Kind == testbed.Old {
				continue
			}
			t.Run(sc.name, func(t *testing.T) { p.compare(t, sc) })
		}
	})
}

var execScenarios = []scenario{
	exits(0), exits(7), exits(255),
	{name: "100,000 lines", run: shell("seq 50000 | awk '{print; print > \"/dev/stderr\"}'"), check: wantLines},
	{name: "empty output", run: shell("true"), check: wantBytes(0)},
	sends(0), sends(1), sends(64 << 10), sends(200_000_000),
	{name: "half-close, then output", stdin: true, skip: noHalfClose, run: halfClose, check: wantText("after 5\n")},
	{name: "50 resizes", skip: noResize, run: fiftyResizes, check: wantText("resized 50 times\r\n")},
	{name: "command not found", run: command("/no/such/command"), check: wantFailure},
	{name: "container not found", run: noContainer, check: wantRefusal},
	{name: "forbidden", run: forbid, check: wantRefusal},
	{name: "killed by a signal", run: shell("kill -9 $$"), check: wantFailure},
}

// shell runs a script without stdin.
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
		name: fmt.Sprintf("exit code %d", code), run: shell(fmt.Sprintf("echo out; echo err >&2; exit %d", code)),
		check: func(d rawclient.Dialect, o rawclient.Observation) error {
			if (code == 0) != o.OK() || o.Stdout.Head != "out\n" || o.Stderr.Head != "err\n" {
				return fmt.Errorf("not exit code %d", code)
			}
			return nil
		},
	}
}

// sends sends n bytes and has the pod tell their hash. Where the dialect cannot end stdin, the pod knows how many come.
func sends(n int) scenario {
	return scenario{
		name: fmt.Sprintf("stdin of %d bytes", n), stdin: true, heavy: n > 1<<20,
		run: func(ctx context.Context, r attempt) (rawclient.Observation, error) {
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
		check: func(_ rawclient.Dialect, o rawclient.Observation) error {
			if !strings.HasPrefix(o.Stdout.Head, patternHash(n)) {
				return errors.New("not the hash of what was sent")
			}
			return nil
		},
	}
}

// patternChunk is how much of the pattern is written at once, as client-go does.
const patternChunk = 32 << 10

// noise is what the pattern is made of; each chunk begins with its own number.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, patternChunk)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// copyPattern writes n bytes that do not repeat.
func copyPattern(w io.Writer, n int) error {
	chunk := append([]byte(nil), noise()...)
	for i := uint64(0); n > 0; i++ {
		binary.LittleEndian.PutUint64(chunk, i)
		part := chunk[:min(n, len(chunk))]
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= len(part)
	}
	return nil
}

var patternHashes sync.Map // by length

func patternHash(n int) string {
	if sum, ok := patternHashes.Load(n); ok {
		return sum.(string)
	}
	h := sha256.New()
	copyPattern(h, n)
	sum := hex.EncodeToString(h.Sum(nil))
	patternHashes.Store(n, sum)
	return sum
}

func noHalfClose(d rawclient.Dialect) string {
	if d.HalfClose {
		return ""
	}
	return "it cannot say that stdin has ended"
}

func noResize(d rawclient.Dialect) string {
	if d.Resize {
		return ""
	}
	return "it has no resize"
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

// fiftyResizes waits after each for the terminal to have it, so that each is seen to arrive.
func fiftyResizes(ctx context.Context, r attempt) (rawclient.Observation, error) {
	const script = `i=1; while [ $i -le 50 ]; do
		until [ "$(stty size)" = "$((100 + i)) $((200 + i))" ]; do sleep 0.01; done; echo size $i.; i=$((i + 1))
	done; echo resized 50 times`
	return r.d.Exec(ctx, r.to, rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", script}, TTY: true,
		Do: func(s *rawclient.Session) error {
			for i := 1; i <= 50; i++ {
				if err := s.Resize(200+i, 100+i); err != nil {
					return err
				}
				if err := s.Expect(fmt.Sprintf("size %d.", i)); err != nil {
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
		return errors.New("not refused")
	}
	return nil
}

func wantFailure(_ rawclient.Dialect, o rawclient.Observation) error {
	if o.Refusal != "" || o.OK() {
		return errors.New("no failure")
	}
	return nil
}

func wantBytes(n int64) func(rawclient.Dialect, rawclient.Observation) error {
	return func(_ rawclient.Dialect, o rawclient.Observation) error {
		if o.Stdout.Bytes != n || !o.OK() {
			return fmt.Errorf("not %d bytes and success", n)
		}
		return nil
	}
}

func wantText(text string) func(rawclient.Dialect, rawclient.Observation) error {
	return func(_ rawclient.Dialect, o rawclient.Observation) error {
		if !strings.HasSuffix(o.Stdout.Head, text) {
			return fmt.Errorf("not %q", text)
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
		return errors.New("not the 50,000 lines on each stream")
	}
	return nil
}
