package spdy_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"edge/streams"
	"edge/streams/spdy"
)

var update = flag.Bool("update", false, "capture the sessions of testdata again, and write down their frames")

// captures are the captured sessions: client-go against the container runtime's server, both with
// moby/spdystream. In testdata each session has two files, one per direction, with the bytes after
// the 101. For each of these files there is another, with the frames that edge's source returns for
// it.
var captures = []struct {
	name   string
	record func(t *testing.T, u *url.URL)
	server http.Handler
	set    streams.Set
	ports  bool
}{
	{
		name: "exec", set: streams.Set{Stdin: true, Stdout: true, Stderr: true},
		server: runtimeServer(func(in io.Reader, out, errOut io.WriteCloser, _ <-chan cri.TerminalSize) error {
			io.Copy(out, in)
			fmt.Fprint(errOut, "warning\n")
			out.Close()
			errOut.Close()
			return exitError(7)
		}, streams.Set{Stdin: true, Stdout: true, Stderr: true}, "v4.channel.k8s.io"),
		record: func(t *testing.T, u *url.URL) {
			execute(t, u, remotecommand.StreamOptions{
				Stdin: strings.NewReader("hello\n"), Stdout: io.Discard, Stderr: io.Discard,
			})
		},
	},
	{
		name: "terminal", set: streams.Set{Stdin: true, Stdout: true, Terminal: true},
		server: runtimeServer(func(_ io.Reader, out, _ io.WriteCloser, resize <-chan cri.TerminalSize) error {
			fmt.Fprint(out, <-resize)
			fmt.Fprint(out, <-resize)
			return nil
		}, streams.Set{Stdin: true, Stdout: true, Terminal: true}, "v4.channel.k8s.io"),
		record: func(t *testing.T, u *url.URL) {
			queue := make(sizes, 2)
			queue <- remotecommand.TerminalSize{Width: 80, Height: 24}
			queue <- remotecommand.TerminalSize{Width: 132, Height: 50}
			close(queue)
			stdin, _ := io.Pipe()
			execute(t, u, remotecommand.StreamOptions{
				Stdin: stdin, Stdout: io.Discard, Tty: true, TerminalSizeQueue: queue,
			})
		},
	},
	{
		name: "ports", ports: true, server: portServer(echo),
		record: func(t *testing.T, u *url.URL) {
			addr, _ := forward(t, u)
			roundTrip(addr, []byte("one"))
			roundTrip(addr, []byte("two"))
		},
	},
	{
		name: "refused", ports: true,
		server: portServer(func(stream io.ReadWriteCloser) error {
			io.ReadFull(stream, make([]byte, 1))
			return errors.New("connection refused")
		}),
		record: func(t *testing.T, u *url.URL) {
			addr, lost := forward(t, u)
			roundTrip(addr, []byte("one"))
			<-lost
		},
	},
}

func execute(t *testing.T, u *url.URL, opts remotecommand.StreamOptions) {
	executor := must(remotecommand.NewSPDYExecutor(&rest.Config{Host: u.Host}, "POST", u))
	if err := executor.StreamWithContext(t.Context(), opts); err != nil {
		t.Log("the command ended with ", err)
	}
}

// sides returns, for each direction of a captured session, its file and the source with which edge
// reads the file.
func sides(name string, set streams.Set, ports bool) map[string]func(*streams.Reader, streams.Replier) streams.Source {
	if ports {
		opens := mobyBytes(syn(1), syn(3), syn(5), syn(7))
		return map[string]func(*streams.Reader, streams.Replier) streams.Source{
			name + ".client": func(r *streams.Reader, rep streams.Replier) streams.Source {
				return spdy.NewRelaySource(r, rep, spdy.Client, new(spdy.Table))
			},
			name + ".server": func(r *streams.Reader, rep streams.Replier) streams.Source {
				return spdy.NewRelaySource(r, rep, spdy.Server, tableOf(opens))
			},
		}
	}
	return map[string]func(*streams.Reader, streams.Replier) streams.Source{
		name + ".client": func(r *streams.Reader, rep streams.Replier) streams.Source {
			return spdy.NewExecDownstreamSource(r, rep, set)
		},
		name + ".server": func(r *streams.Reader, rep streams.Replier) streams.Source {
			return spdy.NewExecUpstreamSource(r, rep, set)
		},
	}
}

// TestCaptures checks that the frames and answers for the bytes of the captured sessions do not
// depend on how the bytes are cut. It cuts them at every place and at every two places.
func TestCaptures(t *testing.T) {
	for _, c := range captures {
		if *update {
			capture(t, c.name, c.server, c.record)
		}
		for file, source := range sides(c.name, c.set, c.ports) {
			t.Run(file, func(t *testing.T) {
				b := must(os.ReadFile(filepath.Join("testdata", file)))
				read := func(p ...[]byte) []string {
					in := pieces(p)
					rep := new(replies)
					lines := drain(t, source(streams.NewReader(&in, nil), rep))
					for _, answer := range rep.said {
						lines = append(lines, fmt.Sprintf("answer %x", answer))
					}
					return lines
				}
				whole := read(b)
				golden := filepath.Join("testdata", file+".frames")
				if *update {
					os.WriteFile(golden, []byte(strings.Join(whole, "\n")+"\n"), 0o644)
				}
				want := strings.Split(strings.TrimSpace(string(must(os.ReadFile(golden)))), "\n")
				equal(t, "in one piece", whole, want)
				for i := range b {
					equal(t, fmt.Sprintf("cut at %d", i), read(b[:i], b[i:]), want)
				}
				step := 1
				if testing.Short() {
					step = 7
				}
				for i := 0; i < len(b); i += step {
					for j := i + 1; j < len(b); j += step {
						equal(t, fmt.Sprintf("cut at %d and %d", i, j), read(b[:i], b[i:j], b[j:]), want)
					}
				}
				equal(t, "byte by byte", read(bytewise(b)...), want)
			})
		}
	}
}

func bytewise(b []byte) (p [][]byte) {
	for i := range b {
		p = append(p, b[i:i+1])
	}
	return p
}

// capture runs a session between real implementations and writes its bytes to testdata.
func capture(t *testing.T, name string, server http.Handler, record func(*testing.T, *url.URL)) {
	var fromClient, fromServer bytes.Buffer
	ended := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(w, r)
		close(ended)
	}))
	s.Listener = &recordingListener{s.Listener, &fromClient, &fromServer}
	s.Start()
	defer s.Close()
	t.Run("record "+name, func(t *testing.T) { record(t, must(url.Parse(s.URL))) })
	<-ended
	// Record also the frames that moby/spdystream sends after the end of the session.
	time.Sleep(time.Second)
	for file, b := range map[string]*bytes.Buffer{".client": &fromClient, ".server": &fromServer} {
		_, stream, _ := bytes.Cut(b.Bytes(), []byte("\r\n\r\n"))
		if err := os.WriteFile(filepath.Join("testdata", name+file), stream, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type recordingListener struct {
	net.Listener
	read, wrote *bytes.Buffer
}

func (l *recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recorder{Conn: c, in: c, read: l.read, wrote: l.wrote}, nil
}
