package main

import "strings"

// endToEndPackage is the package with the end-to-end tests. stress runs only those of them that are
// in timedTests.
const endToEndPackage = "edge/e2e"

// timed contains the name of an end-to-end test whose result depends on time or on the order of
// concurrent events, and the reason why it does.
type timed struct {
	test string
	why  string
}

// timedTests are the end-to-end tests whose result depends on time or on the order of concurrent
// events. stress does not repeat the other end-to-end tests, which are sequential.
var timedTests = []timed{
	{"TestAPIServerKilled", "an API server crashes while streams are open"},
	{"TestBodyThatNeverComes", "an upload that is refused; another user must still be served"},
	{"TestClock", "tokens just before they become valid and just after they expire"},
	{"TestConfigReload", "a file changes while requests flow"},
	{"TestConnectLeavesNothing", "edge connect ends with kubectl, or by a signal"},
	{"TestConnectLost", "edge connect while edge stops"},
	{"TestConnectionComesBack", "a connection that is silent for a while and then works again"},
	{"TestContinuation", "an endless header; another user must still be served"},
	{"TestDeadConnection", "a connection that dies without FIN or RST"},
	{"TestDeadConnectionOfReviews", "two connections that die without FIN or RST"},
	{"TestExecUpstreamGone", "an exec whose API server stops during the session"},
	{"TestGoaway", "an API server that closes connections under writes"},
	{"TestIssuerDown", "five minutes without an issuer"},
	{"TestKeptConnectionCloses", "a connection is closed while a request is written to it"},
	{"TestLoginAndRefresh", "a token is renewed"},
	{"TestNotRunning", "a second try within ten seconds"},
	{"TestPeopleCopyCut", "a load balancer that closes connections by age"},
	{"TestPeopleDownload", "downloads that the client aborts, then 30 at once"},
	{"TestPodEnds", "pods of edge end while streams run"},
	{"TestProcessKilled", "clients and edge are killed during sessions"},
	{"TestRefusedStreamsHarmNobody", "refused requests on a connection with open streams"},
	{"TestReviewFlood", "how often edge requests a review, by the age of its cached answers"},
	{"TestRollingAPIServers", "API servers that are restarted under writes"},
	{"TestRotationWhileRequestsFlow", "signing keys change while requests flow"},
	{"TestSettings", "a flood of requests; another user must still be served"},
	{"TestSilentExec", "130 s of silence"},
	{"TestSilentPortForward", "130 s of silence"},
	{"TestSlowloris", "connections that send nothing; another user must still be served"},
	{"TestTokenExpires", "a token expires between two requests"},
	{"TestUnknownKidFlood", "how often edge fetches the issuer's keys"},
	{"TestUntakenRefusal", "a flood of requests; another user must still be served"},
	{"TestUpstreamToken", "edge's own credential is renewed"},
}

// timedPattern returns a regular expression for -test.run that matches exactly the tests in
// timedTests.
func timedPattern() string {
	names := make([]string, 0, len(timedTests))
	for _, t := range timedTests {
		names = append(names, t.test)
	}
	return "^(" + strings.Join(names, "|") + ")$"
}
