/*
Package spdy is SPDY/3.1 as Kubernetes speaks it after an HTTP upgrade: exec,
attach and port-forward, for either role. It turns bytes into frames of package
streams and back. It opens no connection, starts no goroutine, logs nothing,
and knows neither the HTTP exchange before nor WebSocket; SPDY that is tunnelled
in WebSocket messages is the same codec over another reader and writer.

	                 reads the client        reads the server
	exec, attach     ExecServerSource        ExecClientSource
	port-forward     RelaySource (Client)    RelaySource (Server)

	                 writes to the server    writes to the client
	exec, attach     ExecClientSink          ExecServerSink
	port-forward     RelaySink               RelaySink

A port-forward whose client opens nothing itself (WebSocket) is opened by
OpenPorts, and then PortsSource and PortsSink are the server's leg; PortsSink.Open
opens one connection after the other. A port-forward whose connections end here,
because each goes on by itself, is read by PortServerSource, which accepts and
refuses streams as the container runtime does, and written by a PortsSink of
NewPortServerSink.

# The wire

A frame is 8 bytes and what their last three count. A data frame names its
stream in the first four; a control frame has the high bit set, then version 3
and a type. Flag 0x01 (FIN) says that its sender sends no more on the stream.

	80 03 00 01 00 00 00 35                     SYN_STREAM, 53 bytes:
	00 00 00 01  00 00 00 00  00 00             stream 1; no parent, priority 0
	78 20 e3 c6 a7 c2                           zlib, with SPDY's dictionary
	00 1b 00 e4 ff                              27 bytes, stored
	00 00 00 01                                 one header
	00 00 00 0a streamtype 00 00 00 05 error
	00 00 00 ff ff                              nothing, stored: flushes the reader

	80 03 00 02 00 00 00 12                     SYN_REPLY, 18 bytes:
	00 00 00 03                                 stream 3
	00 04 00 fb ff 00 00 00 00 00 00 00 ff ff   no header

	00 00 00 05 00 00 00 02 68 69               DATA on stream 5: "hi"
	00 00 00 05 01 00 00 00                     DATA on stream 5: FIN
	80 03 00 03 00 00 00 08 00 00 00 01 00 00 00 05   RST_STREAM 1, CANCEL
	80 03 00 06 00 00 00 04 00 00 00 02         PING 2; the answer is the same
	80 03 00 07 00 00 00 08 00 00 00 07 00 00 00 00   GOAWAY, last stream 7, OK

The header blocks of one direction are one zlib stream. Ours is made of stored
blocks, which need no compressor; moby/spdystream's needs 0.75 MiB. A reader
needs its window of 32 KiB as long as blocks come that mean something: on exec
until every stream of the [streams.Set] is open, on port-forward always, and on the
server's side of exec never, because nothing is asked from its answers.

There is no flow control: WINDOW_UPDATE and SETTINGS are skipped, as
moby/spdystream skips them. Pings of the peer's parity (odd from the client) are
answered through the Replier and are never frames; others answer ours.

A source's Replier has to write an answer before what a sink writes later: a
client drops data on a stream whose SYN_REPLY it did not see.

# An exec

The client opens error, stdin, stdout, stderr, resize, as far as they are in the
set, as 1, 3, 5, ..., each after the SYN_REPLY of the one before. A server is
happy with all of them in one write and with stdin right behind.
The runtime ends like this (k8s.io/cri-streaming over k8s.io/streaming):

  - The process's output, and FIN on stdout and stderr, if whoever ran the
    process closed them.
  - The status, one data frame on the error stream, without FIN. Up to v3 it is
    text, and success is no frame at all.
  - RST_STREAM with CANCEL for each stream that got no FIN, the error stream
    among them, in no order.
  - GOAWAY, unless the client sent one first, and the end of the connection.

v1 differs: it resets the error stream as soon as the set is whole. The client
sends FIN on stdin after its last byte, and at the end RST_STREAM for what is
still open and GOAWAY, after which neither side reads on.

So a source of the server's frames collects the error stream, and yields one
Status when the stream ends by FIN or RST_STREAM, or else at GOAWAY or at the end
of the connection. No byte and a FIN is an empty Status, no byte and RST_STREAM a
Reset, no byte and neither is nothing: what it means depends on the version.

# A port-forward

For each connection the client opens an error stream, half-closes it, and opens a
data stream. A server is happy with any number in one write, and with data right
behind. The runtime ends a connection like this:

  - PortForward returned: FIN on the error stream and on the data stream.
  - It failed: text on the error stream, RST_STREAM with CANCEL for both.

Nobody reads the data stream after its FIN, and moby/spdystream waits for a reader:
further data blocks the fifth of the connections whose ids share its worker, and
then the end of the session, too. So PortsSource answers that FIN by RST_STREAM,
as client-go does. A GOAWAY keeps connections from beginning that were opened just
before it.

# Half-close and reset

What a source makes of the wire, and a sink of a frame. Each happens once for
each stream and direction; data after it is dropped, and so is data for streams
that do not exist or that flows the wrong way.

	wire                              exec                        port-forward
	SYN_STREAM from the client        Open, accepted at once      Open with the block
	  a role twice, or not in the set   refused (RST_STREAM 3)
	  the 17th such                     protocol error
	  even, reused or falling id        protocol error            protocol error
	  the 4097th that is open                                     protocol error
	SYN_STREAM from the server        protocol error              protocol error
	SYN_REPLY from the client         protocol error              protocol error
	SYN_REPLY, HEADERS                nothing                     Accept, Headers with the block
	FIN, on any of these or on data   HalfClose                   HalfClose
	  on the error stream, downwards    Status
	RST_STREAM                        Reset                       Reset
	  of the error stream with bytes    Status
	GOAWAY                            Close                       Close
	end of the connection             (Status), io.EOF            io.EOF

	frame        ExecClientSink      ExecServerSink        RelaySink
	Data         stdin               stdout, stderr        any port
	HalfClose    any: FIN            any but error: FIN    FIN
	Reset        RST_STREAM          RST_STREAM            RST_STREAM
	Resize       on the resize stream  -                   -
	Status       -                   data and FIN on error -
	Close        -                   GOAWAY                GOAWAY
	Open, Accept, Headers  -         -                     as they came

A Close is nothing to an exec's server: GOAWAY would make it stop reading and
cut its output off, and a WebSocket client that closes may only mean stdin. To
the client it is GOAWAY, as real servers send it: the client takes what came
before and closes first. FIN alone on the error stream would be success to
client-go, so only a Status can end it, or a Reset. A SYN_STREAM that came with
FIN is relayed as two frames; its priority, which nobody sets, is not relayed.

# Bounds

A header block has at most 16 KiB, packed and inflated, and 32 headers; the rest
is not inflated. A control frame that is skipped has at most 64 KiB; others have
exactly their length. A data frame has up to 2^24-1 bytes and passes in pieces of
[streams.MaxData]. A breach is a [streams.ProtocolError]. Counts and lengths of
the peer are compared before anything is sized by them.

# Files

	spdy.go                                   the Upgrade token; the ids of an exec's streams
	execclientsource.go, execclientsink.go    an exec, towards the server
	execserversource.go, execserversink.go    an exec, towards the client
	relaysource.go, relaysink.go              a port-forward, stream by stream
	portssource.go, portssink.go              a port-forward whose connections are numbered
	portserversource.go                       a port-forward whose connections end here
	table.go                                  the open streams of a port-forward
	delivered.go                              whether the server's readers have all that was written
	frame.go                                  frame types, flags, lengths, heads
	framereader.go, framewriter.go            frames below every source and sink
	blockreader.go, blockwriter.go            header blocks, zlib
	dictionary.go                             zlib's preset dictionary
	sizereader.go                             terminal sizes
	errors.go                                 breaches of the protocol
*/
package spdy
