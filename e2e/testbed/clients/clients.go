package clients

import "edge/e2e/testbed/run"

// Clients starts client programs, such as kubectl, for one run of the testbed.
type Clients struct{ *run.Run }
