package network

import "edge/e2e/testbed/run"

// Network starts the proxies between clients, edge and API servers of one run.
type Network struct{ *run.Run }
