package streams

// PortStreams names the two streams of connection n (from 0) of a port-forward
// whose connections the dialect numbers, and nobody opens one by one: WebSocket
// channels 2n and 2n+1. The ids are those of an SPDY client that opens them all
// itself, error stream first, as client-go does.
func PortStreams(n int) (data, err Stream) {
	first := uint32(4*n + 1)
	return Stream{Role: Port, ID: first + 2}, Stream{Role: Port, ID: first}
}

// PortOf is the inverse of PortStreams; isErr tells which of the two it is. It
// is not ok for an id that PortStreams never gives.
func PortOf(id uint32) (n int, isErr, ok bool) {
	if id%2 == 0 {
		return 0, false, false
	}
	return int(id / 4), id%4 == 1, true
}
