package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"edge/e2e/testbed/run"
)

// nodeNetwork contains the addresses of a node. The node has a network namespace of its own, which
// is connected with this machine as by a cable (a veth pair). Each pod is connected with the node in
// the same way. The node forwards packets between its pods and this machine; they cannot leave this
// machine.
type nodeNetwork struct {
	Outside netip.Addr   // this machine's end of the cable
	Node    netip.Addr   // the node's end of the cable
	Pods    netip.Prefix // addresses of the node's pods
}

// newNodeNetwork divides a free subnet.
func newNodeNetwork() (nodeNetwork, error) {
	subnet, err := run.FreeSubnet()
	if err != nil {
		return nodeNetwork{}, err
	}
	b := subnet.Addr().As4()
	at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{b[0], b[1], b[2], last}) }
	return nodeNetwork{Outside: at(1), Node: at(2), Pods: netip.PrefixFrom(at(128), 25)}, nil
}

// cableName returns the name of this machine's end of a node's cable, at most 15 bytes, as Linux
// requires.
func cableName(id string, cluster int) string { return "etb" + id + strconv.Itoa(cluster) }

// connectNode connects this machine with the network namespace of the node's process. The
// connection ends with the namespace.
func (c *Cluster) connectNode(ctx context.Context) error {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	pid := strconv.Itoa(c.node.Pid())
	err = run.Until(ctx, run.StartupTime, "the node's network namespace", func(context.Context) error {
		namespace, err := os.Readlink("/proc/" + pid + "/ns/net")
		if err == nil && namespace == own {
			err = errors.New("it is still this machine's")
		}
		return err
	}, c.node)
	if err != nil {
		return err
	}
	cable, n := cableName(c.run.ID, c.number), c.network
	for _, args := range [][]string{
		{"link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", pid},
		{"address", "add", fmt.Sprintf("%s/30", n.Outside), "dev", cable},
		{"link", "set", cable, "up"},
		{"route", "add", n.Pods.String(), "via", n.Node.String()},
	} {
		if err := run.IP(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
