/*
Package spdy implements SPDY/3.1 as Kubernetes uses it after an HTTP upgrade: exec, attach and
port-forward, for either role. It turns bytes into frames of package streams, and frames into bytes.
It opens no connection, starts no goroutine, logs nothing, and handles neither the HTTP exchange
before SPDY nor WebSocket. SPDY that is tunnelled in WebSocket messages uses the same codec over
another reader and writer.

	                 reads the client        reads the server
	exec, attach     ExecDownstreamSource    ExecUpstreamSource
	port-forward     RelaySource (Client)    RelaySource (Server)

	                 writes to the server    writes to the client
	exec, attach     ExecUpstreamSink        ExecDownstreamSink
	port-forward     RelaySink               RelaySink

A WebSocket client of a port-forward opens no streams itself. OpenPorts opens them instead, and the
server's leg uses PortsSource and PortsSink. PortsSink.Open opens one connection after the other.

If edge ends the client's connections itself, because each has its own upstream session,
PortServerSource reads the client's leg. It accepts and refuses streams as the container runtime
does. A PortsSink from NewPortServerSink writes to that client.

# The wire

A frame has a header of 8 bytes, whose last three bytes are the length of the rest. In a data frame
the first four bytes are the stream ID. In a control frame the high bit is set, and version 3 and a
type follow. Flag 0x01 (FIN) means that the sender sends no more on the stream.

	80 03 00 01 00 00 00 35                     SYN_STREAM, 53 bytes:
	00 00 00 01  00 00 00 00  00 00             stream 1; no parent, priority 0
	78 20 e3 c6 a7 c2                           zlib, with SPDY's dictionary
	00 1b 00 e4 ff                              27 bytes, stored
	00 00 00 01                                 one header
	00 00 00 0a streamtype 00 00 00 05 error
	00 00 00 ff ff                              empty stored block: flushes the reader

	80 03 00 02 00 00 00 12                     SYN_REPLY, 18 bytes:
	00 00 00 03                                 stream 3
	00 04 00 fb ff 00 00 00 00 00 00 00 ff ff   no header

	00 00 00 05 00 00 00 02 68 69               DATA on stream 5: "hi"
	00 00 00 05 01 00 00 00                     DATA on stream 5: FIN
	80 03 00 03 00 00 00 08 00 00 00 01 00 00 00 05   RST_STREAM 1, CANCEL
	80 03 00 06 00 00 00 04 00 00 00 02         PING 2; the answer is the same
	80 03 00 07 00 00 00 08 00 00 00 07 00 00 00 00   GOAWAY, last stream 7, OK

The header blocks of one direction form one zlib stream. edge writes stored blocks, which need no
compressor; the compressor of moby/spdystream needs 0.75 MiB. A reader needs its 32 KiB window
while the blocks matter to it. An ExecDownstreamSource needs it until every stream of the [streams.Set]
is open, and the readers of a port-forward need it always. An ExecUpstreamSource never needs it,
because it ignores the header blocks of the server's answers.

SPDY in Kubernetes has no flow control: the package skips WINDOW_UPDATE and SETTINGS, as
moby/spdystream does. A source answers pings whose ID has the peer's parity (odd from the client)
through its [streams.Replier] and never returns them. Pings with the other parity are answers to
edge's pings.

A source's Replier must write an answer before the bytes that a sink writes later: a client drops
data on a stream whose SYN_REPLY it has not received.

# An exec

The client opens error, stdin, stdout, stderr and resize, if they are in the set, as streams 1, 3,
5, ..., each after the SYN_REPLY of the one before. A server also accepts all of them in one write,
with stdin data directly after them. The runtime ends the session like this (k8s.io/cri-streaming
over k8s.io/streaming):

  - It sends the process's output. It sends FIN on stdout and stderr, if the code that ran the
    process closed them.
  - It sends the status as one data frame on the error stream, without FIN. In v3 and earlier the
    status is text, and success is no frame at all.
  - It sends RST_STREAM with CANCEL for each stream without a FIN, including the error stream, in
    any order.
  - It sends GOAWAY, unless the client sent one first, and closes the connection.

In v1 the runtime resets the error stream early: as soon as all streams of the set are open.

The client sends FIN on stdin after its last byte, except in v1. At the end it sends RST_STREAM for
each open stream and GOAWAY. After that neither side reads.

So a source of the server's frames collects the bytes of the error stream. It returns one Status
when the stream ends by FIN or RST_STREAM, or else at GOAWAY or at the end of the connection. If
there are no bytes, a FIN is an empty Status, and an RST_STREAM is a Reset. With neither bytes, FIN
nor RST_STREAM the source returns nothing: the meaning depends on the version.

# A port-forward

For each connection the client opens an error stream, half-closes it, and opens a data stream. A
server also accepts any number of them in one write, with data directly after them. The runtime
ends a connection like this:

  - PortForward returned: FIN on the error stream and on the data stream.
  - PortForward failed: text on the error stream, RST_STREAM with CANCEL for both streams.

After the FIN on the data stream the runtime does not read the stream any more, and moby/spdystream
waits for a reader. Further data therefore blocks one of the five goroutines that handle frames
there, and with it every connection whose stream IDs belong to that goroutine. Later it also blocks
the end of the session. So PortsSource answers that FIN with RST_STREAM, as client-go does.
Connections that a client opened just before a GOAWAY do not start.

# Half-close and reset

These tables show the frames that a source returns for the wire, and the bytes that a sink writes
for a frame. An end of a stream (FIN or RST_STREAM) counts once for each stream and direction; data
after that end is dropped. Data is also dropped if its stream does not exist, or if the sender must
not send on that stream.

	wire                              exec                        port-forward
	SYN_STREAM from the client        Open, accepted at once      Open with the block
	  a role twice, or not in the set   refused (RST_STREAM 3)
	  the 17th refused                  protocol error
	  even, reused or falling ID        protocol error            protocol error
	  the 4097th open stream                                      protocol error
	SYN_STREAM from the server        protocol error              protocol error
	SYN_REPLY from the client         protocol error              protocol error
	SYN_REPLY, HEADERS                nothing                     Accept, Headers with the block
	FIN, on any of these or on data   HalfClose                   HalfClose
	  on the server's error stream      Status
	RST_STREAM                        Reset                       Reset
	  of the error stream with bytes    Status
	GOAWAY                            Close                       Close
	end of the connection             (Status), io.EOF            io.EOF

	frame        ExecUpstreamSink      ExecDownstreamSink        RelaySink
	Data         stdin               stdout, stderr        any port
	HalfClose    any: FIN            any but error: FIN    FIN
	Reset        RST_STREAM          RST_STREAM            RST_STREAM
	Resize       on the resize stream  -                   -
	Status       -                   data and FIN on error -
	Close        -                   GOAWAY                GOAWAY
	Open, Accept, Headers  -         -                     as received

A Close is not sent to the server of an exec. After GOAWAY the server would stop reading and cut its
output off, and a WebSocket client that closes may mean only stdin. A Close is sent to the client as
GOAWAY, as real servers do: the client processes the frames before it and closes first.

A FIN alone on the error stream means success to client-go, so only a Status or a Reset ends that
stream. A SYN_STREAM with FIN is relayed as two frames. Its priority, which no client sets, is not
relayed.

# Limits

A header block has at most 16 KiB, both compressed and inflated, and 32 headers. Bytes beyond these
limits are not inflated. A control frame that is skipped has at most 64 KiB; every other control
frame must have exactly the length that its type prescribes. A data frame has up to 2^24-1 bytes and
is returned in pieces of [streams.MaxData]. A violation is a [streams.ProtocolError]. The package
checks counts and lengths from the peer before it allocates memory for them.

# Files

	spdy.go                                         the Upgrade token; the IDs of an exec's streams
	execupstreamsource.go, execupstreamsink.go      the server's leg of an exec
	execdownstreamsource.go, execdownstreamsink.go  the client's leg of an exec
	relaysource.go, relaysink.go                    a port-forward, relayed stream by stream
	portssource.go, portssink.go                    a port-forward with numbered connections
	portserversource.go                             a port-forward whose connections end in edge
	streamtable.go                                  the open streams of a port-forward
	delivered.go                                    whether the server's readers have received all data
	frame.go                                        frame types, flags, lengths, frame headers
	framereader.go, framewriter.go                  frame reading and writing for every source and sink
	blockreader.go, blockwriter.go                  header blocks, zlib
	dictionary.go                                   zlib's preset dictionary
	sizereader.go                                   terminal sizes
	errors.go                                       protocol errors
*/
package spdy
