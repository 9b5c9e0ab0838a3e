package spdy

import (
	"sync/atomic"

	"edge/streams"
)

const (
	// Protocol is the token of the HTTP Upgrade header, in request and response.
	Protocol = "SPDY/3.1"
	// PortForwardV1 is the only subprotocol of port-forward.
	PortForwardV1 = "portforward.k8s.io"
)

// openOrder lists the roles in the order in which client-go opens the streams.
var openOrder = [...]streams.Role{streams.Error, streams.Stdin, streams.Stdout, streams.Stderr, streams.Terminal}

// streamType returns the value of the header "streamtype" for role r.
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

// ids holds the stream ID of each stream of an exec, by role; 0: the stream is not open. One
// goroutine writes ids, and any goroutine may read them.
type ids [roles]atomic.Uint32

// newIDs returns the stream IDs that a client gives to the streams of set.
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

// id returns the stream ID of role r, or 0 if the role has no open stream.
func (t *ids) id(r streams.Role) uint32 {
	if int(r) >= roles {
		return 0
	}
	return t[r].Load()
}

// role returns the role of stream id, or 0 if no stream has that ID. id must not be 0.
func (t *ids) role(id uint32) streams.Role {
	for _, r := range openOrder {
		if t[r].Load() == id {
			return r
		}
	}
	return 0
}

// last returns the highest ID of an open stream.
func (t *ids) last() (id uint32) {
	for i := range t {
		id = max(id, t[i].Load())
	}
	return id
}

// A roleSet is a set of roles, one bit for each.
type roleSet uint8

func (m roleSet) has(r streams.Role) bool { return m&(1<<r) != 0 }
func (m *roleSet) add(r streams.Role)     { *m |= 1 << r }
func (m *roleSet) remove(r streams.Role)  { *m &^= 1 << r }
