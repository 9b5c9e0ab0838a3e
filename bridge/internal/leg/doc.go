// Package leg manages one of a session's two connections: it writes and reads bytes, and does not
// interpret them.
//
//	leg.go                   the Leg, and how its connection ends
//	write.go, read.go        writes, replies and keepalives; reads
//	relaywriter.go           what a relay loop writes between two waits leaves in one write
//	tlswritebuffer.go        the buffer below TLS that collects these writes and their TLS records
//	pollconn*.go             a TCP connection that can be read without waiting; Listener
//	timedwriter.go           writes to a TCP connection, and how long they wait for the peer
//	stall.go                 the clock for that
//	readdelay.go             delays reads of many small segments, like interrupt moderation
//	idle.go, idletimer.go    how an idle leg waits without a goroutine's stack
//	interrupt.go             ends a waiting Read so that its goroutine's stack is freed
//	idlepoller_*.go          one goroutine that waits for all idle legs
//	replayed.go              a connection from which some bytes were read already
//	wouldblock.go            the error that crypto/tls treats as a pause
//
// A session's relay loop owns the read side. Any goroutine may use the write side. No lock that
// Close or Cut needs is held during I/O.
package leg
