package testbed

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	mrand "math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// maxClusters bounds the clusters of one run: a bridge's name has one digit for its number.
const maxClusters = 10

func cgroupName(id string) string { return "edge-testbed-" + id }

// nodeCgroup is a cluster's part of cgroupName.
func nodeCgroup(cluster int) string { return strconv.Itoa(cluster) }

// bridgeName stays below the 15 bytes of an interface's name.
func bridgeName(id string, cluster int) string { return "etb" + id + strconv.Itoa(cluster) }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

var ports struct {
	sync.Mutex
	given map[int]bool
}

// freePort picks a TCP port of 127.0.0.1 that nobody listens on. It stays below the range that the kernel gives to
// outgoing connections, and no port is given twice.
func freePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	for range 1000 {
		port := 10000 + mrand.IntN(20000)
		if ports.given[port] {
			continue
		}
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		l.Close()
		ports.given[port] = true
		return port, nil
	}
	return 0, errors.New("testbed: no free port on 127.0.0.1")
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
