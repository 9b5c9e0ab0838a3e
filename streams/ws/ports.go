package ws

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxPorts bounds the ports of one session: each has two channels, and a
	// channel is a byte.
	MaxPorts = 128
	// MaxPortsBase64 bounds them where the channel is the character '0'+channel
	// of a text message: from channel 80 on it would not be UTF-8, and what
	// wsstream writes in its place it does not read itself.
	MaxPortsBase64 = 40
)

// The channels of connection n are 2n plus these.
const (
	channelPortData  = 0
	channelPortError = 1
)

// ParsePorts reads the values of the query's "ports", each a list with commas.
// Connection n is to the n-th port, and a port may occur more than once. An
// error is the client's fault, and says so without its text.
func ParsePorts(values []string, d Dialect) ([]uint16, error) {
	most := MaxPorts
	if dialects[d].text {
		most = MaxPortsBase64
	}
	var ports []uint16
	for _, list := range values {
		for value := range strings.SplitSeq(list, ",") {
			port, err := strconv.ParseUint(value, 10, 16)
			if err != nil || port == 0 {
				return nil, fmt.Errorf("ws: ports: port %d of the list is not a number from 1 to 65535", len(ports)+1)
			}
			if len(ports) == most {
				return nil, fmt.Errorf("ws: ports: more than %d", most)
			}
			ports = append(ports, uint16(port))
		}
	}
	if len(ports) == 0 {
		return nil, errors.New("ws: ports: none is given")
	}
	return ports, nil
}
