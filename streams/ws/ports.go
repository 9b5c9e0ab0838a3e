package ws

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxPorts limits the ports of one session. Each port has two channels, and a channel is one
	// byte.
	MaxPorts = 128
	// MaxPortsBase64 limits the ports in a base64 dialect, where the channel is the character
	// '0'+channel of a text message. From channel 80 on that character is not ASCII: wsstream, the
	// WebSocket package of Kubernetes, writes two bytes for the character, and does not itself read
	// them as that channel.
	MaxPortsBase64 = 40
)

// Connection n of a port-forward has the channels 2n+channelPortData and 2n+channelPortError.
const (
	channelPortData  = 0
	channelPortError = 1
)

// ParsePorts parses the values of the query parameter "ports", each a comma-separated list.
// Connection n of the session goes to the n-th port; a port may occur more than once. ParsePorts
// returns an error only for an invalid query of the client, and the error's text does not quote the
// query.
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
				return nil, fmt.Errorf("ws: ports: more than %d ports", most)
			}
			ports = append(ports, uint16(port))
		}
	}
	if len(ports) == 0 {
		return nil, errors.New("ws: ports: no port is given")
	}
	return ports, nil
}
