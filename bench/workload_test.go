package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// recorder is an io.Writer that records each write separately.
type recorder struct{ writes []string }

func (r *recorder) Write(b []byte) (int, error) {
	r.writes = append(r.writes, string(b))
	return len(b), nil
}

func (r *recorder) Close() error { return nil }

func TestCommands(t *testing.T) {
	for _, test := range []struct {
		command string
		stdin   []string
		want    []string
		err     error
	}{
		{command: "download 10 4", stdin: []string{"g"}, want: []string{"r", "xxxx", "xxxx", "xx"}},
		{command: "upload 5", stdin: []string{"g", "abc", "de"}, want: []string{"r", "d"}},
		{command: "upload 5", stdin: []string{"g", "abc", "def"}, want: []string{"r"}, err: errSurplus},
		{command: "upload 5", stdin: []string{"g", "abc"}, want: []string{"r"}, err: io.EOF},
		{command: "echo", stdin: []string{"g", "a", "bc"}, want: []string{"r", "a", "bc"}},
		{command: "hello", want: []string{"r"}},
		{command: "hello 1", err: errCommand},
		{command: "cat", stdin: []string{"a", "bc"}, want: []string{"a", "bc"}},
		{command: "cat 1", err: errCommand},
		{command: "idle", stdin: []string{"g", "a"}, want: []string{"r"}},
		{command: "echo", want: []string{"r"}, err: io.EOF},
		{command: "", err: errCommand},
		{command: "sh", err: errCommand},
		{command: "download 10", err: errCommand},
		{command: "download 10 0", err: errCommand},
		{command: "download 10 32769", err: errCommand},
		{command: "download 10 4 1", err: errCommand},
		{command: "upload x", err: errCommand},
		{command: "upload -1", err: errCommand},
		{command: "echo 1", err: errCommand},
	} {
		var parts []io.Reader
		for _, part := range test.stdin {
			parts = append(parts, strings.NewReader(part))
		}
		out := &recorder{}
		err := workloadRuntime{}.Exec(t.Context(), "c", strings.Fields(test.command), io.MultiReader(parts...), out, nil, false, nil)
		if !errors.Is(err, test.err) {
			t.Errorf("%q %q: error %v, want %v", test.command, test.stdin, err, test.err)
		}
		if got, want := strings.Join(out.writes, " "), strings.Join(test.want, " "); got != want {
			t.Errorf("%q %q: wrote %q, want %q", test.command, test.stdin, got, want)
		}
	}
}

func TestCommandNeedsStdinAndStdout(t *testing.T) {
	if err := (workloadRuntime{}).Exec(t.Context(), "c", []string{"echo"}, nil, &recorder{}, nil, false, nil); !errors.Is(err, errCommand) {
		t.Error(err)
	}
	if err := (workloadRuntime{}).Exec(t.Context(), "c", []string{"echo"}, &bytes.Buffer{}, nil, nil, false, nil); !errors.Is(err, errCommand) {
		t.Error(err)
	}
}

// pipe is a forwarded connection in tests: what its client sends is the content of Reader.
type pipe struct {
	io.Reader
	recorder
}

func TestForwardedConnectionBeginsWithItsCommand(t *testing.T) {
	for _, test := range []struct {
		in, want string
		err      error
	}{
		{in: "upload 5\ngabcde", want: "r d"},
		{in: "download 4 2\ng", want: "r xx xx"},
		{in: "download 4\ng", err: errCommand},
		{in: "echo", err: io.EOF},
		{in: strings.Repeat("x", maxLine+1) + "\n", err: errCommand},
	} {
		conn := &pipe{Reader: strings.NewReader(test.in)}
		err := workloadRuntime{}.PortForward(t.Context(), "p", 1, conn)
		if got := strings.Join(conn.writes, " "); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%q: wrote %q, %v", test.in, got, err)
		}
	}
}

func TestPort7EchoesAtOnce(t *testing.T) {
	conn := &pipe{Reader: strings.NewReader("download 1 1\ngabc")}
	if err := (workloadRuntime{}).PortForward(t.Context(), "p", echoPort, conn); err != nil {
		t.Error(err)
	}
	if got := strings.Join(conn.writes, ""); got != "download 1 1\ngabc" {
		t.Errorf("wrote %q", got)
	}
}
