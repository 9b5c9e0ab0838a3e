package main

import (
	"math"
	"runtime/debug"

	"edge/bridge"
)

const (
	// reservedDescriptors are those that sessions must leave to plain requests.
	reservedDescriptors = 512
	// ownDescriptors are, of them, edge's: connections to the API server and to issuers, listeners, files, logs.
	ownDescriptors = 128
	// connectionBytes is what an idle connection takes at most: a TLS connection over HTTP/2, with its goroutines.
	connectionBytes = 64 << 10
	// manyConnections are enough where nothing limits them.
	manyConnections = 1 << 20
)

// maxSessions is what the limit of open files allows, two connections each, but
// no more than DefaultMaxSessions: half a gigabyte when all are idle.
func maxSessions() int { return sessionsOf(descriptors()) }

func sessionsOf(descriptors int) int {
	if descriptors <= 2*reservedDescriptors {
		return max(1, descriptors/4)
	}
	return min((descriptors-reservedDescriptors)/2, bridge.DefaultMaxSessions)
}

// maxConnections is what the limit of open files leaves when all sessions have two connections each and edge its own; and
// no more than half of GOMEMLIMIT, where that is set, has room for.
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
