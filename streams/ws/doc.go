// Package ws speaks WebSocket (RFC 6455) in the subprotocols that Kubernetes puts
// on it, and only as bytes: frames in, frames out. It opens no connection, starts
// no goroutine, logs nothing and does no HTTP: the handshake is over when it
// begins. It knows no extension, so a reserved bit is a breach, but to a [Passage].
//
// It speaks both sides, which differ by their masks (section 5.1):
//
//	             server, towards a client   client, towards a server
//	exec, in     [ExecServerSource]         [ExecClientSource]
//	exec, out    [ExecServerSink]           [ExecClientSink]
//	ports, in    [PortSource]
//	ports, out   [PortSink]
//	tunnel       [NewTunnel]                [NewClientTunnel]
//	             [TunnelReplier]            [ClientTunnelReplier]
//	keepalive    [AppendPing]               [AppendClientPing]
//	frames in    masked, or a breach        unmasked, or a breach
//	frames out   unmasked                   masked where the payload lies, with
//	                                        a new key for each frame
//
// Where both sides have masks, large pieces of stdin can go from under the one
// and under the other in one pass: [ExecServerSource.KeepMasks].
//
// # Exec and attach
//
// A message is a channel byte and a payload: 0 stdin, 1 stdout, 2 stderr, 3
// error, 4 resize. There are five dialects:
//
//	                 subprotocol               messages   stdin's end  error channel
//	V1Channel        none, channel.k8s.io      binary     -            text; nothing: success
//	V1Base64Channel  base64.channel.k8s.io     base64     -            text; nothing: success
//	V4Channel        v4.channel.k8s.io         binary     -            Status in JSON, always
//	V4Base64Channel  v4.base64.channel.k8s.io  base64     -            Status in JSON, always
//	V5Channel        v5.channel.k8s.io         binary     [255, 0]     Status in JSON, always
//
// Where messages are base64, they are text: a digit for the channel, then the
// payload in the standard alphabet with padding, "1YQ==" for "a" on stdout. What
// is on the error channel is the caller's affair, in either direction: here a
// Status goes as it is, and an empty one not at all.
//
// A session with v5.channel.k8s.io, without the masks of what the client sends:
//
//	server  82 01 01                             # start: nothing, on stdout
//	client  82 1a 04 "{\"Width\":80,\"Height\":24}\n" # a terminal's size
//	client  82 04 00 "ls\n"                      # stdin
//	client  82 02 ff 00                          # stdin ends (v5 only)
//	client  89 00                                # ping
//	server  8a 00                                # its pong, between two messages
//	server  82 07 01 "a.txt\n"                   # stdout
//	server  82 15 03 "{\"status\":\"Success\"}"      # the outcome
//	server  88 02 03 e8                          # Close 1000
//	client  88 02 03 e8
//
// # What clients say
//
// [ExecServerSource] takes what wsstream, the API server's and the container
// runtime's WebSocket server, takes, and gives it the same meaning:
//
//	from the client                    here
//	text message                       as if binary (the Python client sends str);
//	                                   that it is UTF-8 is not asked
//	binary message of base64           as if text
//	CR and LF in base64                passed over
//	excess bits in base64              not looked at
//	channel that is no digit, base64   ignored
//	message without payload            ignored
//	channel byte without payload       ignored
//	channel 1, 2, 3, 5 and above       ignored
//	[255, ch] on v5                    ends channel ch, once; see below
//	[255, ch] before v5                ignored: channel 255 is not special there
//	stdin or resize after its end      ignored
//	[255] or [255, ch, ...] on v5      breach, 1002 (wsstream ends the session)
//	[255, ch], ch above 4, on v5       breach, 1002 (the same)
//
// It differs where a client that worked there works here as well:
//
//	fragmented message                 reassembled; wsstream takes the first
//	                                   byte of every fragment for a channel
//	message of more than 32 MiB        streamed; wsstream ends the session
//	resize that is not one JSON object ignored; the API server heeds no size
//	with Width and Height, both uint16 after it
//	resize of more than 256 bytes      breach, 1009
//	stdin or resize, not base64        breach, 1007; wsstream drops the message
//	                                   and goes on, with a hole in stdin
//
// A message is one size; its JSON is passed on as it came. Stdin is never held
// until its message is complete: a Data frame has at most [streams.MaxData]
// bytes, and whoever sends 15 MiB at once costs no more memory than others. Of
// base64 the bits of less than one quantum are held, wherever a fragment ends.
//
// # What servers say
//
// [ExecClientSource] takes what client-go's v5 client takes:
//
//	from the server                    here
//	channel byte without payload       ignored: it is the start signal
//	message on channel 0               ignored; client-go reads it and drops it
//	message on channel 5 and above     ignored, 255 too: a server ends by Close
//	messages on channel 3              the first that is not empty is the Status;
//	                                   client-go puts all of them together, which
//	                                   is the same for servers, who send one
//
// It differs:
//
//	message on channel 4               ignored; with a terminal client-go would
//	                                   never read again
//	message without payload            ignored; client-go ends the session
//	text message on v5 or v4           as if binary; client-go ends the session
//	Status of more than 64 KiB         breach, 1009
//
// # What is written
//
// Data is one message for each frame of [streams.Small] bytes or more; smaller
// ones of a channel wait for Flush, to be one together. A message carries at most
// [streams.MaxData] bytes of it, in base64 30,699: what fits in a borrowed buffer
// once encoded, and ends without padding. No message is fragmented: x/net, below
// wsstream, takes every fragment for a message. Whatever is not Data is whole.
//
// # Half-close and reset
//
// How the neutral frames and the channel protocols say them. A server's side,
// towards a client:
//
//	                  v1, v4, base64            v5
//	in:  HalfClose    cannot be said            [255, 0] stdin, [255, 4] resize;
//	                                            [255, 1-3] means nothing
//	in:  Reset        cannot be said            cannot be said
//	in:  Close        Close, then io.EOF        the same
//	in:  TCP's end    io.EOF without a Close    the same
//	out: HalfClose    dropped                   dropped: the server never sends
//	                                            [255, ch]; Status and Close end all
//	out: Reset        dropped                   dropped
//	out: Status       message on channel 3,     the same
//	                  unless it is empty
//	out: Close        Close with the code,      the same
//	                  nothing after it
//	out: others       dropped                   dropped
//
// A client's side, towards a server:
//
//	                  v1, v4, base64            v5
//	in:  HalfClose    cannot be said            cannot be said
//	in:  Reset        cannot be said            cannot be said
//	in:  Status       message on channel 3      the same
//	in:  Close        Close, then io.EOF        the same
//	in:  TCP's end    io.EOF without a Close    the same
//	out: HalfClose,   dropped                   [255, 0] for stdin, once; others
//	     Reset                                  dropped
//	out: Resize       message on channel 4      the same
//	out: Close        Close with the code,      the same
//	                  nothing after it
//	out: others       dropped                   dropped
//
// # Port-forward
//
// The query's ports (see [ParsePorts]) name the connections: channel 2n carries
// connection n's bytes, 2n+1 says why it failed. The container runtime takes no
// subprotocol, v4.channel.k8s.io and v4.base64.channel.k8s.io, and no other:
//
//	server  82 03 00 50 00                       # channel 0 is for port 80
//	server  82 03 01 50 00                       # and so is channel 1
//	client  82 06 00 "GET /"
//	server  82 04 00 "200"
//	server  82 .. 01 "error forwarding port 80 to pod ..." # it failed
//	server  88 02 03 e8                          # all connections have ended
//
// [PortSource] takes what that server takes:
//
//	from the client                    here
//	text for binary, and the reverse   as if it were the other
//	message, channel without payload   ignored
//	error channel, or an unknown one   ignored, also [255, ch]: nothing half-closes
//	data of a connection that ended    Data; the sink upstream drops it
//	base64 that is none                breach, 1007; the runtime ignores the
//	                                   message, of which a part may be out here
//	fragments, messages over 32 MiB    as on exec
//
// Connections have no end on the wire. What [PortSink] cannot say it drops:
//
//	in:  Close, TCP's end  ends all; the runtime answers with 1000 at once, and
//	                       loses what the pod still says
//	out: HalfClose, Reset  dropped: the runtime says nothing when a connection
//	                       ends, and after the text when one fails
//	out: Close             Close with the code. The runtime sends 1000 when the
//	                       last connection has ended; whoever relays does it
//	out: others            dropped
//
// The Python client closes a local socket when text came on its error channel,
// and all of them at the Close. It fails on a first message that is not three
// bytes, on a text message and on one without payload.
//
// # Tunnel
//
// With SPDY/3.1+portforward.k8s.io, binary messages carry SPDY's bytes, cut
// anywhere: [Tunnel] is a transport under the SPDY codec. Half-close and reset
// are SPDY's. A text message is a breach, 1003, as it is to client-go. The
// peer's Close, with any code, is the end of the bytes; the connection's end
// without a Close is unexpected.
//
// # Passage
//
// A WebSocket that nobody here reads passes as bytes. A [Passage] says where its
// frames end, so that pings may come between them, and which pongs answer those:
//
//	from the peer                      passes
//	pong, final, without reserved      no: it answers a ping of one's own
//	bits, with one's own 8 bytes
//	any other frame, and a part of it  as it came, with its mask and reserved bits
//	what breaks the rules              as it came: the other peer judges it
//	half a header at the end           as it came
//
// # Breaches
//
// A breach is a [streams.ProtocolError] with the code for the Close; nothing
// can be read after it.
//
//	1002  reserved bit, unknown opcode, unmasked frame of a client, masked frame
//	      of a server, fragmented control frame or one of more than 125 bytes,
//	      continuation of nothing, new message within a fragmented one, more than
//	      64 empty fragments in a row, Close of one byte or with a code that must
//	      not be sent, bad half-close
//	1002  a length of 2^63 or more, or not in the fewest bytes: section 5.2
//	      forbids it; gorilla and x/net let it pass, but do not send it
//	1003  text in a tunnel
//	1007  Close whose reason is not UTF-8; payload that is not base64 on a channel
//	      that means something
//	1009  resize of more than 256 bytes, Status of more than 64 KiB
//
// # Files
//
//	dialect.go                              subprotocols, dialects, channels
//	execserversource.go, execserversink.go  an exec, towards the client
//	execclientsource.go, execclientsink.go  an exec, towards the server
//	portsource.go, portsink.go, ports.go    a port-forward, towards the client; the ports of its query
//	channelsource.go, channelsink.go        messages of channels below these
//	tunnel.go, tunnelreplier.go             another protocol in binary messages, and answers to its pings
//	passage.go                              frames that pass unread, with pings of one's own between them
//	messagewriter.go                        a message of each piece
//	frame.go, frameparser.go                frame headers, written and read
//	mask.go                                 a client's masks
//	base64.go                               base64 in pieces
//	control.go                              pings, pongs, Close
//	errors.go                               breaches of the protocol
package ws
