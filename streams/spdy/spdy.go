package spdy

import (
	"sync/atomic"

	"edge/streams"
)

const (
	// Protocol is the token of the HTTP Upgrade header, in both directions.
	Protocol = "SPDY/3.1"
	// PortForwardV1 is the only subprotocol of port-forward.
	PortForwardV1 = "portforward.k8s.io"
)

// The roles in the order in which client-go opens them.
var openOrder = [...]streams.Role{streams.Error, streams.Stdin, streams.Stdout, streams.Stderr, streams.Terminal}

// streamType is the value of the header "streamtype".
func streamType(r streams.Role) string {
	switch r {
	case streams.Stdin:
		return "stdin"
	case streams.Stdout:
		return "stdout"
	case streams.Stderr:
		return "stderr"
	case streams.Error:
		return "error"
	case streams.Terminal:
		return "resize"
	}
	return ""
}

const roles = int(streams.Terminal) + 1

// ids holds the id of each stream of an exec, by its role; 0: not open. One
// goroutine writes it, any may read.
type ids [roles]atomic.Uint32

// newIDs gives the streams of the set the ids of a client that opens them.
func newIDs(set streams.Set) *ids {
	t := new(ids)
	id := uint32(1)
	for _, r := range openOrder {
		if set.Has(r) {
			t[r].Store(id)
			id += 2
		}
	}
	return t
}

// id is 0 when the role has no open stream.
func (t *ids) id(r streams.Role) uint32 {
	if int(r) >= roles {
		return 0
	}
	return t[r].Load()
}

// role is 0 when no stream has the id, which is not 0.
func (t *ids) role(id uint32) streams.Role {
	for _, r := range openOrder {
		if t[r].Load() == id {
			return r
		}
	}
	return 0
}

// last is the highest id of an open stream.
func (t *ids) last() (id uint32) {
	for i := range t {
		id = max(id, t[i].Load())
	}
	return id
}

// A roleSet is a set of roles.
type roleSet uint8

func (m roleSet) has(r streams.Role) bool { return m&(1<<r) != 0 }
func (m *roleSet) add(r streams.Role)     { *m |= 1 << r }
func (m *roleSet) remove(r streams.Role)  { *m &^= 1 << r }
