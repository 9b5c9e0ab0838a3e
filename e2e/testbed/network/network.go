package network

import "edge/e2e/testbed/run"

// Network starts what stands between clients, edge and API servers in one run.
type Network struct{ *run.Run }
