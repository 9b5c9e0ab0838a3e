package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Bytes that upstream and the client exchange before and after the measured part of a command.
const (
	readyByte = 'r' // sent by upstream: the session is open from end to end
	goByte    = 'g' // sent by the client: the command may begin its work
	doneByte  = 'd' // sent by upstream: all bytes of an upload have arrived
)

// readSize is the size of the buffer with which commands read stdin, the same as in io.Copy.
const readSize = 32 << 10

// maxLine limits the length of the command line that a client sends on a forwarded connection, in
// bytes.
const maxLine = 64

// workloadRuntime is the container runtime behind upstream. It runs these commands:
//
//	download <n> <size>   writes n bytes to stdout, in writes of size bytes
//	upload <n>            reads n bytes from stdin, then writes doneByte to stdout
//	echo                  writes the bytes of each read of stdin to stdout, until stdin ends
//	idle                  does nothing until stdin ends
//
// Each of these commands writes readyByte and waits for a byte from the client before it begins.
// The command hello writes readyByte and ends. The command cat and connections to port 7 are for
// clients that do not know these bytes: they echo at once.
type workloadRuntime struct{}

const (
	catCommand = "cat"
	echoPort   = 7 // port of the echo service, RFC 862
)

func (workloadRuntime) Exec(_ context.Context, _ string, cmd []string, in io.Reader, out, _ io.WriteCloser, _ bool,
	_ <-chan remotecommand.TerminalSize) error {
	if in == nil || out == nil {
		return fmt.Errorf("%w: stdin and stdout are needed", errCommand)
	}
	if len(cmd) == 1 && cmd[0] == catCommand {
		return echo(in, out)
	}
	return runCommand(cmd, in, out)
}

// helloCommand is the command of sessions of which only the start is measured.
const helloCommand = "hello"

// runCommand runs a command of the workload. All commands except hello write readyByte and wait for
// a byte from the client before they begin.
func runCommand(cmd []string, in io.Reader, out io.Writer) error {
	if slices.Equal(cmd, []string{helloCommand}) {
		_, err := out.Write([]byte{readyByte})
		return err
	}
	work, err := parseCommand(cmd)
	if err != nil {
		return err
	}
	if _, err := out.Write([]byte{readyByte}); err != nil {
		return err
	}
	var first [1]byte
	if _, err := io.ReadFull(in, first[:]); err != nil {
		return fmt.Errorf("bench: wait for the client: %w", err)
	}
	return work(in, out)
}

func (workloadRuntime) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool,
	<-chan remotecommand.TerminalSize) error {
	return errors.ErrUnsupported
}

// PortForward serves a forwarded connection. On echoPort it echoes. On other ports it reads a
// command line from the connection and runs this command with the connection as stdin and stdout.
func (workloadRuntime) PortForward(_ context.Context, _ string, port int32, conn io.ReadWriteCloser) error {
	if port == echoPort {
		return echo(conn, conn)
	}
	line, err := readLine(conn)
	if err != nil {
		return err
	}
	return runCommand(strings.Fields(line), conn, conn)
}

// readLine reads a line and returns it without its newline. It reads no byte after the newline.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var next [1]byte
	for range maxLine {
		if _, err := io.ReadFull(r, next[:]); err != nil {
			return "", fmt.Errorf("bench: read a command: %w", err)
		}
		if next[0] == '\n' {
			return string(line), nil
		}
		line = append(line, next[0])
	}
	return "", fmt.Errorf("%w: line is longer than %d bytes", errCommand, maxLine)
}

func parseCommand(cmd []string) (func(in io.Reader, out io.Writer) error, error) {
	numbers := make([]int64, 0, 2)
	for _, word := range cmd[min(1, len(cmd)):] {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil || n < 1 || len(numbers) == cap(numbers) {
			return nil, fmt.Errorf("%w: %q", errCommand, cmd)
		}
		numbers = append(numbers, n)
	}
	switch {
	case len(cmd) == 3 && cmd[0] == "download" && numbers[1] <= maxWrite:
		return func(_ io.Reader, out io.Writer) error { return download(out, numbers[0], numbers[1]) }, nil
	case len(cmd) == 2 && cmd[0] == "upload":
		return func(in io.Reader, out io.Writer) error { return upload(in, out, numbers[0]) }, nil
	case len(cmd) == 1 && cmd[0] == "echo":
		return echo, nil
	case len(cmd) == 1 && cmd[0] == "idle":
		return func(in io.Reader, _ io.Writer) error {
			_, err := io.Copy(io.Discard, in)
			return err
		}, nil
	}
	return nil, fmt.Errorf("%w: %q", errCommand, cmd)
}

func download(out io.Writer, n, size int64) error {
	block := bytes.Repeat([]byte{'x'}, int(size))
	for n > 0 {
		written, err := out.Write(block[:min(n, size)])
		if err != nil {
			return err
		}
		n -= int64(written)
	}
	return nil
}

func upload(in io.Reader, out io.Writer, n int64) error {
	buf := make([]byte, readSize)
	for n > 0 {
		read, err := in.Read(buf)
		n -= int64(read)
		if err != nil && n > 0 {
			return fmt.Errorf("bench: %d bytes of the upload are missing: %w", n, err)
		}
	}
	if n < 0 {
		return errSurplus
	}
	_, err := out.Write([]byte{doneByte})
	return err
}

// echo writes the bytes of each read at once. io.Copy could let the reader or the writer combine
// several reads.
func echo(in io.Reader, out io.Writer) error {
	buf := make([]byte, readSize)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
