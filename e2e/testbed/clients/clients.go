package clients

import "edge/e2e/testbed/run"

// Clients runs the clients of one run.
type Clients struct{ *run.Run }
