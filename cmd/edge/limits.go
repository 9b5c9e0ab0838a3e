package main

import (
	"math"
	"runtime/debug"

	"edge/bridge"
)

const (
	// reservedDescriptors are the file descriptors that sessions leave free for plain requests.
	reservedDescriptors = 512
	// ownDescriptors are the part of reservedDescriptors for edge itself: connections to the API
	// server and to issuers, listeners, files, logs.
	ownDescriptors = 128
	// connectionBytes is the most memory that an idle connection uses: TLS over HTTP/2, with its
	// goroutines.
	connectionBytes = 64 << 10
	// manyConnections is the maximum number of connections if nothing else limits it.
	manyConnections = 1 << 20
)

// maxSessions returns how many sessions the limit of open files allows, at two connections per
// session, but at most DefaultMaxSessions. That many idle sessions need half a gigabyte of memory.
func maxSessions() int { return sessionsOf(descriptors()) }

func sessionsOf(descriptors int) int {
	if descriptors <= 2*reservedDescriptors {
		return max(1, descriptors/4)
	}
	return min((descriptors-reservedDescriptors)/2, bridge.DefaultMaxSessions)
}

// maxConnections returns how many client connections the limit of open files allows, if all
// sessions use two connections each and edge uses its own. If GOMEMLIMIT is set, the connections
// may use at most half of it.
func maxConnections() int {
	return connectionsOf(descriptors(), debug.SetMemoryLimit(-1))
}

func connectionsOf(descriptors int, memory int64) int {
	most := min(descriptors-2*sessionsOf(descriptors)-ownDescriptors, manyConnections)
	if memory != math.MaxInt64 {
		most = min(most, int(memory/2/connectionBytes))
	}
	return max(1, most)
}
