// Package e2e contains the tests of edge against real Kubernetes clusters and real clients. The
// packages below e2e/testbed start the clusters and the clients; the command e2e/cmd/demo shows
// them to a person. The tests run the edge binary and import no package of edge's Go module.
//
//	cd e2e && go test -count=1 -timeout=90m -v ./...
//
// The command above runs the tests and prints a table with one row per cluster, path, client and
// verb (an operation such as exec). The table is a part of the compatibility matrix, which
// clients_test.go selects; `make matrix` runs the whole matrix. Without -count=1, go may print a
// cached result, because go does not know that the tests depend on edge's sources. The first run
// builds Kubernetes, which takes longer than go's default timeout of 10 minutes.
//
//	EDGE_E2E_RESULTS    folder for the table, as compatibility.md and compatibility.json
//	EDGE_TESTBED_LOGS   folder for the logs of all programs, also of edge
//	EDGE_TESTBED_CACHE  folder where built programs are kept
//
//	file                     what its tests prove
//	matrix_test.go           every verb works for every client, path and cluster
//	silent_test.go           streams without traffic outlive the load balancer's timeout of 60 s
//	failure_test.go          a broken session never looks like a success
//	rbac_test.go             users can do what RBAC allows; the audit log contains their names
//	differential_*           a client observes the same through edge as at the API server
//	difference_test.go       the accepted differences between edge and the API server
//	browser_test.go          a web page in Chromium or Firefox can do what kubectl does
//	browserorigins_test.go   only pages of allowed origins can use a client certificate
//	k9s_test.go              k9s shows pods and logs, opens a shell and forwards a port
//	helm_test.go             helm installs, upgrades, tests and uninstalls a release
//	websockets_test.go       other WebSockets: proxies to services and pods, watch, log
//	podsend_test.go          a pod of edge ends while streams run: kubectl fails, plain requests do not
//	releases_test.go         a client gets the answer of its cluster's release
//	conformance*             Kubernetes' own tests that pass at the API server pass through edge
//	people*                  kubectl run, debug, apply, cp, port-forward work as at the API server
//	connectcontexts_test.go  edge connect has every context of the user's kubeconfig
//	soak_test.go             2 GiB, stalled clients, five silent minutes; only in `make soak`
//	badlink_test.go          cp of 1 GiB and of 5,000 files over a bad link; only in `make soak`
//	goaway_test.go           writes while the API server sends GOAWAY: none fails or is done twice
//	rolling_test.go          writes while API servers restart: only those in flight fail
//	deadconnection_test.go   a dead upstream connection delays requests only briefly
//	silentconnection_test.go a silent connection or a slow answer does not count as dead
//	distance_test.go         latency costs no more than at the API server itself
//	http1upstream_test.go    an upstream without HTTP/2 that closes idle connections
//	brokenbody_test.go       a client's broken body is not an error of the API server
//	unauthorized_test.go     tokens that edge must not accept
//	upstreamtoken_test.go    edge uses a short-lived token and its successor
//	login_test.go            a login and its refreshed tokens are the same user
//	rotation_test.go         no request fails when an issuer changes its key
//	issuerdown_test.go       no request with a valid token fails while an issuer is down
//	issuers_test.go          several issuers at once, and changes of the issuers under load
//	tracing_test.go          a real OTLP receiver gets edge's spans, and the API server continues the trace
//	observers_test.go        access log, audit events, metrics and traces, in each combination
//	oneid_test.go            all records of a request have one Audit-ID
//	kop_*                    the end-to-end cases of kube-oidc-proxy
//	attack_*                 the rows of the attack corpus in docs/security.md, by name
//	deploy_test.go           a cluster accepts deploy/edge.yaml
//	leastprivilege_test.go   edge needs each right that deploy/ grants
//	monitoringrules_test.go  promtool's tests of the alerts; Prometheus scrapes edge's pods
//	monitoring_test.go       each query of the dashboard and of the alerts has data under load
//	slowside_test.go         the dashboard names the side that is slow, and only that one
//	nativehistogram_test.go  Prometheus gets native histograms if it asks for them
package e2e
