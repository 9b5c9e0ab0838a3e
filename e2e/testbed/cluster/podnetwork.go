package cluster

import (
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
)

// Pods have addresses of 198.18.0.0/15, which is for tests and routed nowhere (RFC 2544). A cluster has 256 of them.
const podNetworks = 512

// freeSubnet picks a subnet that no interface of this machine has, and that another run is unlikely to pick.
func freeSubnet() (netip.Prefix, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, err
	}
	for range podNetworks {
		n := mrand.IntN(podNetworks)
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + n/256), byte(n), 0}), 24)
		free := true
		for _, a := range taken {
			p, err := netip.ParsePrefix(a.String())
			free = free && (err != nil || !subnet.Overlaps(p.Masked()))
		}
		if free {
			return subnet, nil
		}
	}
	return netip.Prefix{}, errors.New("testbed: no free subnet for pods")
}

// bridgeName stays below the 15 bytes of an interface's name.
func bridgeName(id string, cluster int) string { return "etb" + id + strconv.Itoa(cluster) }

// ReachPods lets the API server reach pods by their addresses, as services/proxy and pods/proxy do: the machine gets an
// address on the pods' bridge, which is there once a pod is, and which goes with the bridge. Without it such a request
// would leave the machine.
func (c *Cluster) ReachPods(ctx context.Context) error {
	own := netip.PrefixFrom(c.subnet.Addr().Next(), c.subnet.Bits()) // what the address plugin keeps for a gateway
	said, err := exec.CommandContext(ctx, "ip", "address", "add", own.String(), "dev", bridgeName(c.run.ID, c.number)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("testbed: reach pods: %w: %s", err, said)
	}
	return nil
}
