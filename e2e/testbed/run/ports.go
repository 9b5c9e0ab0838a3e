package run

import (
	"errors"
	mrand "math/rand/v2"
	"net"
	"strconv"
	"sync"
)

var ports struct {
	sync.Mutex
	given map[int]bool
}

// FreePort returns a TCP port of 127.0.0.1 on which no process listens. The port is below the range
// from which the kernel takes ports for outgoing connections. Within a process, FreePort returns
// each port only once.
func FreePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	for range 1000 {
		// the port is above 10080, because browsers refuse 10080 and several ports below it
		// (net::ERR_UNSAFE_PORT)
		port := 10081 + mrand.IntN(20000)
		if ports.given[port] {
			continue
		}
		l, err := net.Listen("tcp", Loopback(port))
		if err != nil {
			continue
		}
		l.Close()
		ports.given[port] = true
		return port, nil
	}
	return 0, errors.New("testbed: no free port on 127.0.0.1")
}

// Loopback returns the address 127.0.0.1:port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
