package main

import "strings"

// endToEndPackage is the one package of which only some tests are run.
const endToEndPackage = "edge/e2e"

// timed is an end-to-end test whose outcome depends on time or on an order of events.
type timed struct {
	test string
	why  string
}

// timedTests are the end-to-end tests that have to do with time. All others do one thing after another.
var timedTests = []timed{
	{"TestAPIServerKilled", "an API server dies under streams that are open"},
	{"TestBodyThatNeverComes", "a refused body, beside a user who must be served"},
	{"TestClock", "tokens just before and just after they are good"},
	{"TestConfigReload", "a file changes while requests flow"},
	{"TestConnectLeavesNothing", "edge connect ends with kubectl, or by a signal"},
	{"TestConnectLost", "edge connect when edge goes away"},
	{"TestConnectionComesBack", "a connection that is silent, and lives again"},
	{"TestContinuation", "an endless header, beside a user who must be served"},
	{"TestDeadConnection", "a connection that dies without a word"},
	{"TestDeadConnectionOfReviews", "two connections that die without a word"},
	{"TestExecUpstreamGone", "an exec whose API server goes in the middle"},
	{"TestGoaway", "an API server that closes connections under writes"},
	{"TestIssuerDown", "five minutes without an issuer"},
	{"TestKeptConnectionCloses", "a connection is closed while a request is written to it"},
	{"TestLoginAndRefresh", "a token is renewed"},
	{"TestNotRunning", "a second try within ten seconds"},
	{"TestPeopleCopyCut", "a load balancer that cuts by age"},
	{"TestPeopleDownload", "downloads that are broken off, then 30 at once"},
	{"TestProcessKilled", "clients and edge are killed in the middle"},
	{"TestRefusedStreamsHarmNobody", "refusals beside streams on one connection"},
	{"TestReviewFlood", "how often edge asks, by the age of what it remembers"},
	{"TestRollingAPIServers", "API servers that are restarted under writes"},
	{"TestRotationWhileRequestsFlow", "signing keys change while requests flow"},
	{"TestSettings", "a flood beside a user who must be served"},
	{"TestSilentExec", "130 s of silence"},
	{"TestSilentPortForward", "130 s of silence"},
	{"TestSlowloris", "connections that say nothing, beside a user who must be served"},
	{"TestTokenExpires", "a token ends between two requests"},
	{"TestUnknownKidFlood", "how often edge asks the issuer for keys"},
	{"TestUntakenRefusal", "a flood beside a user who must be served"},
	{"TestUpstreamToken", "edge's own credential is renewed"},
}

// timedPattern is for -test.run.
func timedPattern() string {
	names := make([]string, 0, len(timedTests))
	for _, t := range timedTests {
		names = append(names, t.test)
	}
	return "^(" + strings.Join(names, "|") + ")$"
}
