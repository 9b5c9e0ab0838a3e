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

// podNetworks is the number of /24 subnets in 198.18.0.0/15, a range for tests that no router
// forwards (RFC 2544). Each cluster's pods use one subnet.
const podNetworks = 512

// freeSubnet returns a random subnet for pods that overlaps with no address of this machine.
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
	return netip.Prefix{}, errors.New("testbed: found no free subnet for pods in 198.18.0.0/15")
}

// bridgeName returns the name of the network bridge for a cluster's pods, at most 15 bytes, as
// Linux requires.
func bridgeName(id string, cluster int) string { return "etb" + id + strconv.Itoa(cluster) }

// ReachPods lets the API server connect to pods by their addresses, as services/proxy and
// pods/proxy do. Without ReachPods, such a connection would leave the machine. ReachPods gives this
// machine an address on the bridge of the pods. The bridge must exist, so a pod must have started
// before. Removing the bridge removes the address.
func (c *Cluster) ReachPods(ctx context.Context) error {
	// the subnet's first address; the IPAM plugin keeps it free for a gateway
	own := netip.PrefixFrom(c.subnet.Addr().Next(), c.subnet.Bits())
	said, err := exec.CommandContext(ctx, "ip", "address", "add", own.String(), "dev", bridgeName(c.run.ID, c.number)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("testbed: add an address to the pods' bridge: %w: %s", err, said)
	}
	return nil
}
