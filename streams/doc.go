// Package streams is the vocabulary in which all streaming dialects of
// Kubernetes meet: frames on streams, from a [Source] to a [Sink].
//
// There are many dialects (SPDY/3.1 with its subprotocols, WebSocket channels,
// WebSocket port-forward, SPDY in WebSocket) and two roles in each. One codec per
// dialect and role turns bytes into frames or back; none knows another. The wire
// formats are in streams/spdy and streams/ws.
//
//	client's bytes -> Source -> Frame -> Sink -> upstream's bytes
//
// A codec is driven by bytes alone: by a connection, a fuzzer, or a table of
// captures. There are no sockets, goroutines or logs here.
//
// # Memory
//
// A session that says nothing holds no buffer: its [Reader] waits with 16 bytes
// and borrows 40 KiB when something comes. A payload of [Small] bytes or more is
// read once, with room before it for the other side's header, and leaves in one
// write; smaller ones are collected in a [Batch].
//
//	 Buf
//	+--------------------+----------------------+
//	| room (>= Headroom) | payload              |
//	+--------------------+----------------------+
//	                     ^ Off
//
// # Keepalive
//
// Pings belong to a leg and are never frames: a source hands the answer to its
// [Replier], and the leg's writer sends it between two frames.
//
//	file       what is in it
//	frame.go   frames, their kinds, streams and roles, and the bounds of a frame
//	codec.go   what a codec is, and what it is given: Source, Sink, Writer, Replier
//	set.go     which streams an exec has
//	ports.go   the streams of numbered port-forward connections
//	reader.go  a leg's bytes for a source
//	batch.go   small frames of a sink, written at once
//	buffer.go  the pool of buffers below both
//	errors.go  what ends a source; close codes
package streams
