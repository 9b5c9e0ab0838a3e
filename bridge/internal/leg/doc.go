// Package leg has one of a session's two connections: what is written to it and read from it, and not what it means.
//
//	leg.go                   what a leg is; the end of a connection
//	write.go, read.go        writes, answers and keepalives; reads
//	coalesce.go              what a relay loop says between two waits leaves in one write
//	writebuffer.go           where it waits for that, below TLS
//	pollconn*.go             a TCP connection that can be read without waiting; Listener
//	moderate.go              reads of a peer that sends many small pieces are delayed, as by interrupt moderation
//	idle.go, idletimer.go    a leg that nothing comes from: it waits without a stack, also after it was busy
//	interrupt.go             ends a read that waits, for that
//	idlepoller_*.go          one goroutine that waits for all idle legs
//	replayed.go              a connection of which something was read already
//	wouldblock.go            what crypto/tls takes for a pause
//
// A session's loop owns the read side. The write side is for anybody; no lock is held during I/O that Close or Cut needs.
package leg
