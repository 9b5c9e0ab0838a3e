// Package streams defines the frames that all streaming dialects of Kubernetes have in common. A
// [Source] reads frames from one side, and a [Sink] writes them to the other.
//
// Kubernetes has many dialects (SPDY/3.1 with its subprotocols, WebSocket channels, WebSocket
// port-forward, SPDY in WebSocket), and each has two roles, client and server. For each dialect and
// role, one codec turns bytes into frames or frames into bytes. Codecs are independent of each
// other. The wire formats are in streams/spdy and streams/ws.
//
//	client's bytes -> Source -> Frame -> Sink -> upstream's bytes
//
// A codec needs nothing but bytes: from a connection, a fuzzer, or a table of captures. The package
// opens no sockets, starts no goroutines and writes no logs.
//
// # Memory
//
// A session without traffic holds no buffer: its [Reader] waits with an array of 16 bytes, and
// borrows a buffer of 40 KiB when bytes arrive. A payload of [Small] bytes or more is read once,
// with room before it for the other side's header, and is written at once with that header. Smaller
// payloads are collected in a [Batch].
//
//	 Buf
//	+--------------------+----------------------+
//	| room (>= Headroom) | payload              |
//	+--------------------+----------------------+
//	                     ^ Off
//
// # Keepalive
//
// A session has two legs: its connection to the client and its connection to the API server. Pings
// belong to one leg and are never frames. A source passes the answer to a ping to its [Replier],
// and the leg's writer sends the answer between two frames.
//
//	file       content
//	frame.go   frames, their kinds, streams and roles, and the size limits of a frame
//	codec.go   the interfaces of a codec: Source, Sink, Writer, Replier, PongReceiver
//	set.go     the set of streams of an exec or attach
//	ports.go   the stream IDs of numbered port-forward connections
//	reader.go  Reader, from which a source reads the bytes of its leg
//	batch.go   Batch, which collects the small frames of a sink
//	buffer.go  the buffer pool for Reader and Batch
//	errors.go  the errors of a source, and the WebSocket close codes
package streams
