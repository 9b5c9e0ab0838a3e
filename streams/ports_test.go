package streams_test

import (
	"testing"

	"edge/streams"
)

func TestPortStreams(t *testing.T) {
	last := uint32(0)
	for n := range 1000 {
		data, err := streams.PortStreams(n)
		if err.ID != last+min(uint32(n), 1)+1 || data.ID != err.ID+2 {
			t.Fatalf("connection %d: data %d, error %d after %d", n, data.ID, err.ID, last)
		}
		last = data.ID
		if got, isErr, ok := streams.PortOf(data.ID); got != n || isErr || !ok {
			t.Errorf("data %d: %d %v %v", data.ID, got, isErr, ok)
		}
		if got, isErr, ok := streams.PortOf(err.ID); got != n || !isErr || !ok {
			t.Errorf("error %d: %d %v %v", err.ID, got, isErr, ok)
		}
	}
	for _, id := range []uint32{0, 2, 4, 1 << 30} {
		if _, _, ok := streams.PortOf(id); ok {
			t.Errorf("id %d is of a connection", id)
		}
	}
}
