// Package e2e holds the tests of edge against real Kubernetes and real clients. Its folder testbed brings those up;
// cmd/demo shows them to a person. The tests drive the edge binary from outside and import nothing of it.
//
//	cd e2e && go test -count=1 -timeout=60m -v ./...
//
// ends with a table: one row per cluster, path, client and verb. It is a part of the matrix, chosen in clients_test.go; all of it
// is `make matrix`. Without -count=1 go might show an earlier result: it does not know that edge's sources matter. The first run
// builds Kubernetes, longer than go's usual 10 minutes allow.
//
//	EDGE_E2E_RESULTS    a folder for the table, as compatibility.md and compatibility.json
//	EDGE_TESTBED_LOGS   a folder for the logs of all programs, of edge too
//	EDGE_TESTBED_CACHE  where built programs are kept
//
//	file                  what it proves
//	matrix_test.go        every verb works for every client on every path to every cluster; see docs/compatibility.md
//	silent_test.go        streams without a byte outlive the load balancer's 60 s
//	failure_test.go       a session that breaks never looks like success
//	rbac_test.go          people can do what RBAC grants them, and the API server's audit log names them
//	differential_*        through edge a client observes what it would at the API server itself, in every dialect
//	difference_test.go    but for these differences
//	browser_test.go       a web page in a real Chromium does what kubectl does, its token in a subprotocol
//	browserorigins_*      and only a page of an allowed origin
//	helm_test.go          a release comes, changes, is tested and goes
//	websockets_test.go    other WebSockets: proxies of services and pods, watch, log
//	people*               what people do all day is what it is at the API server itself: run, debug, apply, cp, port-forward, proxy
//	connectcontexts_test.go  edge connect has every context of the user's kubeconfig, for kubectl and helm
//	soak_test.go          2 GiB, stalled clients, five silent minutes; only `make soak` runs it
//	badlink_test.go       cp of 1 GiB and of 5,000 files over a bad link; only `make soak` runs it
//	goaway_test.go        writes while the API server sends GOAWAY: none fails, none is done twice
//	rolling_test.go       writes while API servers restart: what fails was in flight there, and says so
//	deadconnection_test.go  a connection to the API server that dies without a word stalls nobody for long
//	silentconnection_test.go  nor does one that only is silent for a while, or an answer that takes long, look dead
//	distance_test.go      a long line costs edge's users what it costs those of the API server itself; `make distance` measures
//	http1upstream_test.go an upstream without HTTP/2, and kept connections that close
//	brokenbody_test.go    a client's broken body is no fault of the API server's
//	unauthorized_test.go  tokens that must not be accepted
//	upstreamtoken_test.go edge goes upstream with a short-lived token of an account, and with the next one
//	login_test.go         a login and its refreshes are one user
//	rotation_test.go      an issuer's new key costs no request
//	issuerdown_test.go    an issuer that is down costs no request of who has a token, and readiness tells
//	issuers_test.go       several issuers at once, none speaks for another, and whom edge trusts changes under load
//	kop_*                 kube-oidc-proxy's own end-to-end cases
//	attack_*              the rows of docs/security.md's attack corpus, by name
//	deploy_test.go        deploy/edge.yaml is what a cluster accepts
//	leastprivilege_test.go  each right that it grants is needed, and for what
package e2e
