// Package ws encodes and decodes the WebSocket protocols of Kubernetes: WebSocket frames (RFC 6455)
// and the subprotocols of exec, attach and port-forward in them. It converts between bytes and
// frames of package streams. It opens no connection, starts no goroutine, writes no log and does no
// HTTP: its bytes begin after the handshake. It supports no WebSocket extension: a reserved bit is
// a protocol error, except in a [Passage].
//
// The package has both sides of a connection. They differ in masking (section 5.1):
//
//	               server side, to a client   client side, to a server
//	exec, read     [ExecDownstreamSource]     [ExecUpstreamSource]
//	exec, write    [ExecDownstreamSink]       [ExecUpstreamSink]
//	ports, read    [PortSource]
//	ports, write   [PortSink]
//	tunnel         [NewTunnel]                [NewClientTunnel]
//	               [TunnelReplier]            [ClientTunnelReplier]
//	keepalive      [AppendPing]               [AppendClientPing]
//	frames read    masked, otherwise a        unmasked, otherwise a
//	               protocol error             protocol error
//	frames written unmasked                   masked in place, with a new key for
//	                                          each frame
//
// If the frames read and the frames written are both masked, a large piece of stdin can change from
// one mask to the other in one pass: see [ExecDownstreamSource.KeepMasks].
//
// # Exec and attach
//
// A message is a channel byte and a payload. The channels are 0 stdin, 1 stdout, 2 stderr, 3 error
// and 4 resize. There are five dialects:
//
//	                 subprotocol               messages   end of stdin  error channel
//	V1Channel        none, channel.k8s.io      binary     -             text; none: success
//	V1Base64Channel  base64.channel.k8s.io     base64     -             text; none: success
//	V4Channel        v4.channel.k8s.io         binary     -             always a Status in JSON
//	V4Base64Channel  v4.base64.channel.k8s.io  base64     -             always a Status in JSON
//	V5Channel        v5.channel.k8s.io         binary     [255, 0]      always a Status in JSON
//
// In the base64 dialects messages are text: a digit for the channel, then the payload in the
// standard alphabet with padding. "1YQ==" is "a" on stdout. This package does not interpret the
// error channel in either direction: it passes a Status as it is, and writes no empty Status.
//
// An example session with v5.channel.k8s.io; the client's frames are shown without their masks:
//
//	server  82 01 01                             # start: an empty message on stdout
//	client  82 1a 04 "{\"Width\":80,\"Height\":24}\n" # the size of the terminal
//	client  82 04 00 "ls\n"                      # stdin
//	client  82 02 ff 00                          # stdin ends (v5 only)
//	client  89 00                                # ping
//	server  8a 00                                # the pong, between two messages
//	server  82 07 01 "a.txt\n"                   # stdout
//	server  82 15 03 "{\"status\":\"Success\"}"      # the Status
//	server  88 02 03 e8                          # Close 1000
//	client  88 02 03 e8
//
// # Messages from clients
//
// [ExecDownstreamSource] accepts what wsstream accepts, the WebSocket server of the API server and of
// the container runtime. It gives these messages the same meaning:
//
//	from the client                    ExecDownstreamSource
//	text message                       same as binary (the Python client sends str);
//	                                   it need not be valid UTF-8
//	binary message of base64           same as text
//	CR and LF in base64                ignored
//	excess bits in base64              ignored
//	channel is not a digit, base64     ignored
//	message without payload            ignored
//	channel byte without payload       ignored
//	channel 1, 2, 3, 5 and above       ignored
//	[255, ch] on v5                    ends channel ch, once; see below
//	[255, ch] before v5                ignored: channel 255 has no meaning there
//	stdin or resize after its end      ignored
//	[255] or [255, ch, ...] on v5      protocol error 1002 (wsstream ends the session)
//	[255, ch], ch above 4, on v5       protocol error 1002 (wsstream ends the session)
//
// It differs from wsstream in these cases. A client that works with wsstream works here too:
//
//	fragmented message                 reassembled; wsstream takes the first byte of
//	                                   every fragment for a channel
//	message of more than 32 MiB        passed on in pieces; wsstream ends the session
//	resize that is not one JSON object ignored; the API server ignores every later size
//	with Width and Height, both uint16
//	resize of more than 256 bytes      protocol error 1009
//	stdin or resize, invalid base64    protocol error 1007; wsstream drops the message and
//	                                   goes on, so that stdin lacks a part
//
// A resize message is one terminal size; its JSON is passed on unchanged. Stdin does not wait until
// its message is complete: a Data frame has at most [streams.MaxData] bytes. A client that sends
// 15 MiB in one message therefore costs no more memory than others. For base64 the source holds
// only the bits of an incomplete group of four characters, wherever a fragment ends.
//
// # Messages from servers
//
// [ExecUpstreamSource] accepts what client-go's v5 client accepts:
//
//	from the server                    ExecUpstreamSource
//	channel byte without payload       ignored: it is the start signal
//	message on channel 0               ignored; client-go reads and drops it
//	message on channel 5 and above     ignored, 255 too: a server ends with Close
//	messages on channel 3              the first that is not empty is the Status; client-go
//	                                   concatenates them, which is the same for servers
//	                                   that send one
//
// It differs from client-go in these cases:
//
//	message on channel 4               ignored; client-go with a terminal would never read
//	                                   again
//	message without payload            ignored; client-go ends the session
//	text message on v5 or v4           same as binary; client-go ends the session
//	Status of more than 64 KiB         protocol error 1009
//
// # Messages written
//
// A Data frame of [streams.Small] bytes or more is written as one message. Smaller ones of the same
// channel are collected until Flush and written as one message. A message carries at most
// [streams.MaxData] bytes of data, and in base64 at most 30,699: that fits in a pooled buffer once
// it is encoded, and needs no padding. No message is fragmented: x/net, which wsstream uses, takes
// every fragment for a message. Every frame other than Data is written as one message. A header is
// written into the room, the free bytes before a payload in its buffer (see package streams).
//
// # Half-close and reset
//
// The tables show which messages and frames of package streams correspond. "In" is what the source
// returns, "out" is what the sink does. "No message" means that the dialect has no message for it.
// On the server side, to a client:
//
//	                  v1, v4, base64            v5
//	in:  HalfClose    no message                [255, 0] for stdin, [255, 4] for resize;
//	                                            [255, 1] to [255, 3] are ignored
//	in:  Reset        no message                no message
//	in:  Close        Close, then io.EOF        the same
//	in:  TCP ends     io.EOF without a Close    the same
//	out: HalfClose    dropped                   dropped: the server never sends [255, ch];
//	                                            Status and Close end all channels
//	out: Reset        dropped                   dropped
//	out: Status       message on channel 3,     the same
//	                  unless it is empty
//	out: Close        Close with the code,      the same
//	                  then nothing more
//	out: others       dropped                   dropped
//
// On the client side, to a server:
//
//	                  v1, v4, base64            v5
//	in:  HalfClose    no message                no message
//	in:  Reset        no message                no message
//	in:  Status       message on channel 3      the same
//	in:  Close        Close, then io.EOF        the same
//	in:  TCP ends     io.EOF without a Close    the same
//	out: HalfClose,   dropped                   [255, 0] for stdin, once; other channels
//	     Reset                                  dropped
//	out: Resize       message on channel 4      the same
//	out: Close        Close with the code,      the same
//	                  then nothing more
//	out: others       dropped                   dropped
//
// # Port-forward
//
// The ports in the query (see [ParsePorts]) define the connections: channel 2n carries the bytes of
// connection n, and channel 2n+1 carries the text why it failed. The container runtime accepts
// v4.channel.k8s.io, v4.base64.channel.k8s.io, and a handshake without a subprotocol:
//
//	server  82 03 00 50 00                       # channel 0 is for port 80
//	server  82 03 01 50 00                       # and so is channel 1
//	client  82 06 00 "GET /"
//	server  82 04 00 "200"
//	server  82 .. 01 "error forwarding port 80 to pod ..." # the connection failed
//	server  88 02 03 e8                          # all connections have ended
//
// [PortSource] accepts what the container runtime accepts:
//
//	from the client                    PortSource
//	text for binary, and the reverse   the same as the expected type
//	message, channel without payload   ignored
//	error channel, or an unknown one   ignored, also [255, ch]: there is no half-close
//	data of a connection that ended    Data; the upstream sink drops it
//	invalid base64                     protocol error 1007; the runtime ignores the message,
//	                                   while edge may already have passed on a part of it
//	fragments, messages over 32 MiB    the same as for exec
//
// No message ends a single connection. [PortSink] drops what it cannot express:
//
//	in:  Close, TCP ends   ends all connections; the runtime answers with 1000 at once, and
//	                       loses what the pod still sends
//	out: HalfClose, Reset  dropped: the runtime sends nothing when a connection ends, and
//	                       nothing after the text when one fails
//	out: Close             Close with the code. The runtime sends 1000 when the last
//	                       connection has ended; here the relay sends that Close
//	out: others            dropped
//
// The Python client closes a local socket when text arrives on its error channel, and all sockets
// at the Close. It fails if a channel's first message is not three bytes, if a message is text, or
// if a message has no payload.
//
// # Tunnel
//
// With SPDY/3.1+portforward.k8s.io, binary messages carry the bytes of SPDY, split anywhere. A
// [Tunnel] is the transport below a SPDY codec; half-close and reset are SPDY's. A text message is
// protocol error 1003, as in client-go. The peer's Close, with any code, ends the bytes (io.EOF). A
// connection that ends without a Close is an unexpected end.
//
// # Passage
//
// Some WebSockets pass through edge as bytes, without a codec. A [Passage] finds where their frames
// end, so that edge can send its own pings between two frames, and finds the pongs that answer
// edge's pings:
//
//	from the peer                      passes on
//	pong, final, no reserved bits,     no: it answers a ping of edge's own
//	with the 8 bytes of edge's ping
//	any other frame, and any part      unchanged, with its mask and reserved bits
//	protocol errors                    unchanged: the other peer decides about them
//	an incomplete header at the end    unchanged
//
// # Protocol errors
//
// A protocol error is a [streams.ProtocolError] with the code for the Close. Nothing can be read
// after it.
//
//	1002  reserved bit, unknown opcode, unmasked frame of a client, masked frame of a server,
//	      fragmented control frame, control frame of more than 125 bytes, continuation frame
//	      without a message, new message before the last fragment of the previous one, more
//	      than 64 empty fragments in a row, Close with a payload of one byte, Close with a
//	      reserved code, invalid half-close
//	1002  a length of 2^63 or more, or not in its shortest form: section 5.2 forbids them;
//	      gorilla and x/net accept them, but do not send them
//	1003  text message in a tunnel
//	1007  Close with a reason that is not UTF-8; invalid base64 on a channel that is not ignored
//	1009  resize of more than 256 bytes, Status of more than 64 KiB
//
// # Files
//
//	dialect.go                                      subprotocols, dialects, channels
//	execdownstreamsource.go, execdownstreamsink.go  exec and attach, the side to the client
//	execupstreamsource.go, execupstreamsink.go      exec and attach, the side to the server
//	portsource.go, portsink.go                      port-forward, the side to the client
//	ports.go                                        the ports in port-forward's query
//	channelsource.go, channelsink.go                channel messages, shared by the sources and sinks
//	tunnel.go, tunnelreplier.go                     another protocol in binary messages; its replies
//	passage.go                                      frames that pass through as bytes, and own pings
//	messagewriter.go                                writes each piece as one message
//	frame.go, frameparser.go                        writes and reads frame headers
//	mask.go                                         a client's masks
//	base64.go                                       decodes base64 in pieces
//	control.go                                      ping, pong and Close frames
//	errors.go                                       protocol errors
package ws
