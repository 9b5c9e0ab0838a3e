package clients

import "edge/e2e/testbed/run"

// Clients starts the clients of one run.
type Clients struct{ *run.Run }
