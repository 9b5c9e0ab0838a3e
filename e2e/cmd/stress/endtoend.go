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
	{"TestClock", "tokens just before and just after they are good"},
	{"TestConfigReload", "a file changes while requests flow"},
	{"TestConnectLost", "edge connect when edge goes away"},
	{"TestConnectLeavesNothing", "edge connect ends with kubectl, or by a signal"},
	{"TestContinuation", "an endless header, beside a user who must be served"},
	{"TestExecUpstreamGone", "an exec whose API server goes in the middle"},
	{"TestIssuerDown", "five minutes without an issuer"},
	{"TestLoginAndRefresh", "a token is renewed"},
	{"TestProcessKilled", "clients and edge are killed in the middle"},
	{"TestRefusedStreamsHarmNobody", "refusals beside streams on one connection"},
	{"TestReviewFlood", "how often edge asks, by the age of what it remembers"},
	{"TestRotationWhileRequestsFlow", "signing keys change while requests flow"},
	{"TestSettings", "a flood beside a user who must be served"},
	{"TestSilentExec", "130 s of silence"},
	{"TestSilentPortForward", "130 s of silence"},
	{"TestTokenExpires", "a token ends between two requests"},
	{"TestUnknownKidFlood", "how often edge asks the issuer for keys"},
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
