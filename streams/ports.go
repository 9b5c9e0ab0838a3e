package streams

// PortStreams returns the two streams of port-forward connection n, from 0. It is for dialects that
// number the connections (WebSocket channels 2n and 2n+1) and do not open streams. The IDs are
// those that an SPDY client uses that opens all streams itself, the error stream of each connection
// first, as client-go does.
func PortStreams(n int) (data, err Stream) {
	first := uint32(4*n + 1)
	return Stream{Role: Port, ID: first + 2}, Stream{Role: Port, ID: first}
}

// PortOf is the inverse of PortStreams: it returns the connection n for a stream ID. isErr reports
// whether id is the error stream of the connection. ok is false for an id that PortStreams never
// returns.
func PortOf(id uint32) (n int, isErr, ok bool) {
	if id%2 == 0 {
		return 0, false, false
	}
	return int(id / 4), id%4 == 1, true
}
