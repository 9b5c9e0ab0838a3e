package run

import (
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"
)

// subnets is the number of /24 subnets in 198.18.0.0/15, a range for tests that no router forwards
// (RFC 2544).
const subnets = 512

// given are the subnets that FreeSubnet has returned in this process: their addresses may not exist
// yet.
var (
	givenMu sync.Mutex
	given   = map[netip.Prefix]bool{}
)

// FreeSubnet returns a random /24 subnet of 198.18.0.0/15 that overlaps with no address of this
// machine. It returns no subnet twice.
func FreeSubnet() (netip.Prefix, error) {
	givenMu.Lock()
	defer givenMu.Unlock()
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, err
	}
	for range subnets {
		n := mrand.IntN(subnets)
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + n/256), byte(n), 0}), 24)
		free := !given[subnet]
		for _, a := range taken {
			p, err := netip.ParsePrefix(a.String())
			free = free && (err != nil || !subnet.Overlaps(p.Masked()))
		}
		if free {
			given[subnet] = true
			return subnet, nil
		}
	}
	return netip.Prefix{}, errors.New("testbed: found no free subnet in 198.18.0.0/15")
}

// ClaimAddress gives this machine's loopback interface one more address, at which the nodes and
// their pods reach the programs of this run: 127.0.0.1 is another machine for them. It writes the
// address to a file first, by which ReleaseAddress finds it even if this process is killed.
func ClaimAddress(file string) (string, error) {
	subnet, err := FreeSubnet()
	if err != nil {
		return "", err
	}
	address := subnet.Addr().Next().String()
	if err := os.WriteFile(file, []byte(address), 0o644); err != nil {
		return "", err
	}
	return address, IP(context.Background(), "address", "add", address+"/32", "dev", "lo")
}

// ReleaseAddress removes the address in a file that ClaimAddress has written. It does nothing if there
// is no such file, or if this machine does not have the address any more.
func ReleaseAddress(file string) error {
	address, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mask := string(address) + "/32"
	taken, err := net.InterfaceAddrs()
	if err != nil || !slices.ContainsFunc(taken, func(a net.Addr) bool { return a.String() == mask }) {
		return err
	}
	return IP(context.Background(), "address", "delete", mask, "dev", "lo")
}

// IP runs iproute2's command ip.
func IP(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if said, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("testbed: ip %v: %w: %s", args, err, said)
	}
	return nil
}

// Reachable returns host:port of a port at the address that the nodes and their pods can reach.
func (r *Run) Reachable(port int) string { return net.JoinHostPort(r.Address, strconv.Itoa(port)) }
