package ws_test

import (
	"fmt"
	"io"
	"strings"

	"edge/streams"
	"edge/streams/ws"
)

// peer stands for the peer of a connection: as Writer and Replier it prints what is sent to it.
type peer struct{}

func (peer) WriteRoom(b []byte, off int) error { fmt.Printf("sent %q\n", b[off:]); return nil }
func (peer) Pong(b []byte)                     { fmt.Printf("sent %q\n", b) }
func (peer) Reply(b []byte) error              { fmt.Printf("sent %q\n", b); return nil }

func ExampleExecServerSource() {
	client := strings.NewReader("" +
		"\x82\x84\x00\x00\x00\x00\x00ls\n" + // stdin, with masking key 0
		"\x89\x80\x00\x00\x00\x00" + // ping
		"\x82\x82\x00\x00\x00\x00\xff\x00" + // the end of stdin
		"\x88\x82\x00\x00\x00\x00\x03\xe8") // Close 1000
	r := streams.NewReader(client, nil)
	defer r.Close()
	source := ws.NewExecServerSource(r, peer{}, ws.V5Channel)
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		switch f.Kind {
		case streams.Data:
			fmt.Printf("stdin %q\n", f.Payload())
		case streams.HalfClose:
			fmt.Println("stdin ends")
		case streams.Close:
			fmt.Println("close", f.Code)
		}
	}
	// Output:
	// stdin "ls\n"
	// sent "\x8a\x00"
	// stdin ends
	// close 1000
}

func ExampleExecServerSink() {
	sink := ws.NewExecServerSink(peer{}, ws.V5Channel)
	sink.Start(streams.Stdout)
	for _, f := range []streams.Frame{
		{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdout}, Buf: []byte("a.txt\n")},
		{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdout}, Buf: []byte("b.txt\n")},
		{Kind: streams.Status, Stream: streams.Stream{Role: streams.Error}, Buf: []byte(`{"status":"Success"}`)},
		{Kind: streams.Close, Code: streams.CloseNormal},
	} {
		sink.Write(f)
	}
	// Output:
	// sent "\x82\x01\x01"
	// sent "\x82\r\x01a.txt\nb.txt\n"
	// sent "\x82\x15\x03{\"status\":\"Success\"}"
	// sent "\x88\x02\x03\xe8"
}

func ExampleExecClientSource() {
	server := strings.NewReader("" +
		"\x82\x01\x01" + // start signal
		"\x82\x07\x01a.txt\n" + // stdout
		"\x82\x15\x03{\"status\":\"Success\"}" + // Status
		"\x88\x02\x03\xe8") // Close 1000
	r := streams.NewReader(server, nil)
	defer r.Close()
	source := ws.NewExecClientSource(r, peer{}, ws.V5Channel)
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		switch f.Kind {
		case streams.Data:
			fmt.Printf("stdout %q\n", f.Payload())
		case streams.Status:
			fmt.Printf("status %s\n", f.Payload())
		case streams.Close:
			fmt.Println("close", f.Code)
		}
	}
	// Output:
	// stdout "a.txt\n"
	// status {"status":"Success"}
	// close 1000
}

// masked is a peer that unmasks what a client sends before it prints it.
type masked struct{ peer }

func (m masked) WriteRoom(b []byte, off int) error { return m.peer.WriteRoom(unmasked(b[off:]), 0) }

func ExampleExecClientSink() {
	sink := ws.NewExecClientSink(masked{}, ws.V5Channel)
	for _, f := range []streams.Frame{
		{Kind: streams.Resize, Stream: streams.Stream{Role: streams.Terminal}, Buf: []byte(`{"Width":80,"Height":24}`)},
		{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Buf: []byte("ls\n")},
		{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}},
		{Kind: streams.Close, Code: streams.CloseNormal},
	} {
		sink.Write(f)
	}
	// Output:
	// sent "\x82\x19\x04{\"Width\":80,\"Height\":24}"
	// sent "\x82\x04\x00ls\n"
	// sent "\x82\x02\xff\x00"
	// sent "\x88\x02\x03\xe8"
}

func ExampleTunnel() {
	client := strings.NewReader("" +
		"\x82\x83\x00\x00\x00\x00SPD" +
		"\x82\x81\x00\x00\x00\x00Y" +
		"\x88\x82\x00\x00\x00\x00\x03\xe8")
	tunnel := ws.NewTunnel(client, peer{}, peer{})
	b, err := io.ReadAll(tunnel)
	code, _ := tunnel.Closed()
	fmt.Printf("%s, %v, close %d\n", b, err, code)

	frame := make([]byte, streams.Headroom+3)
	copy(frame[streams.Headroom:], "ACK")
	tunnel.WriteRoom(frame, streams.Headroom)
	tunnel.WriteClose(streams.CloseNormal)
	// Output:
	// SPDY, <nil>, close 1000
	// sent "\x82\x03ACK"
	// sent "\x88\x02\x03\xe8"
}
