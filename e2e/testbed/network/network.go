package network

import "edge/e2e/testbed/run"

// Network starts the proxies between clients, edge and API servers for one run of the testbed.
type Network struct{ *run.Run }
