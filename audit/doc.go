// Package audit records requests: one line per request in the access log, and audit events in the
// format of kube-apiserver. It decides nothing about a request, with one exception: in mode
// blocking-strict, a request whose event cannot be stored is refused.
//
//	events, err := audit.New(options, log) // nil without a policy or a backend
//	go events.Run(ctx)                     // until ctx ends; end ctx after the last request
//	observe := bridge.Observers(audit.NewAccessLog(log), events) // leave events out if it is nil
//	bridge.Config{Observe: observe, ...}
//
// # Access log
//
// edge writes a line when a request has ended; for a stream, when its session has ended. The
// message is AuSuccess or AuFail:
//
//	AuSuccess  edge authenticated the requestor and accepts the identity; the request may still fail
//	AuFail     authentication failed, or the identity may not be used; see reason
//
// The fields:
//
//	refusal                 one word for why edge itself, and not the API server, answered;
//	                        see [bridge.Reason]
//	uri                     the path, and the query parameters of Kubernetes that have no secrets;
//	                        "..." stands for all others, such as the arguments of a command
//	user, groups, uid       the requestor: the user that authenticated
//	asUser, asGroups, asUid the user that the requestor impersonates, if any
//	asExtra                 the extras that edge added to those of the user
//	droppedGroups           the groups that --unusable-groups=drop removed from groups
//	audit-ID                the request's Audit-ID, which audit events, traces, the lines of a session
//	                        and the API server's audit log have, too
//	xRequestId              the client's X-Request-Id
//	xForwardedFor           the addresses in X-Forwarded-For, if --trusted-proxies confirms them
//
// Every value has a length limit; a value that was cut ends in "...". Characters that are not
// printable are escaped.
//
//	level=INFO msg=AuSuccess source=203.0.113.7 xForwardedFor="203.0.113.7, 10.0.0.9" method=POST
//	  uri="/api/v1/namespaces/team/pods/web-0/exec?container=app&stdout=true&..." proto=HTTP/1.1
//	  userAgent="kubectl/v1.36.3 (linux/amd64) kubernetes/5c5b2e7"
//	  audit-ID=0f6c6a5e-3f27-4d2c-8f5e-0d3b0d2f9d11 user=oidc:alice
//	  groups="oidc:dev,\"oidc:night shift\"" uid=248289761001 status=101 bytesIn=412 bytesOut=1024
//	  duration=2s session=1f0c6a2b9d3e4f58 downstream="websocket v5.channel.k8s.io"
//	  upstream="SPDY/3.1 v4.channel.k8s.io" cause=completed
//
//	level=INFO msg=AuFail source=198.51.100.4 method=GET uri="/api/v1/pods?limit=500" proto=HTTP/1.1
//	  userAgent="" audit-ID=5d1f7f0e-52f1-4a9f-8b0b-6a6a3f3a6c52 reason=Unauthorized status=401
//	  refusal=credential bytesIn=0 bytesOut=157 duration=312µs
//
// A line in JSON, of a watch that ended because the client disconnected. alice impersonates bob:
//
//	{"level":"INFO","msg":"AuSuccess","source":"198.51.100.4","method":"GET",
//	  "uri":"/api/v1/namespaces/team/pods?watch=true","proto":"HTTP/1.1",
//	  "userAgent":"kubectl/v1.36.3","audit-ID":"8d7f1d0c-9a68-4f6e-9d55-3c8f2a7e0b43",
//	  "user":"oidc:alice","groups":["oidc:dev","oidc:night shift"],
//	  "uid":"248289761001","asUser":"bob","asExtra":["remote-client-ip=203.0.113.7"],
//	  "status":200,"bytesIn":0,"bytesOut":70311,"duration":60000000000,"cut":true}
//
// # Audit events
//
// The flags are kube-apiserver's. kube-apiserver's own code evaluates the policy, on the same
// attributes as in kube-apiserver. A test compares the events with those of kube-apiserver's own
// filters. The moments at which edge makes an event:
//
//	request                      RequestReceived    ResponseStarted    ResponseComplete
//	plain                        identity is known  -                  response is complete
//	watch, log, proxy            identity is known  response begins    response is complete
//	exec, attach, port-forward   identity is known  101                session has ended
//	not authenticated            -                  the 401            -
//
// user is the requestor, with the group system:authenticated and the id of the credential.
// impersonatedUser is set if the requestor impersonates another user (kubectl --as); the extras
// that carry the requestor upstream are left out. The annotation edge.identity/dropped-groups has
// the groups that --unusable-groups=drop removed from the user: a JSON list with the limits of the
// access log. Every event has the request's Audit-ID, with which edge sends the request upstream. So
// the events of edge and of the API server have the same ID, and the client gets it in the answer,
// unless that is a 101.
//
// Differences from kube-apiserver's events:
//
//   - An event never has a body: at the levels Request and RequestResponse edge records metadata
//     only, and the API server records the bodies.
//   - responseStatus has only the code, unless edge itself wrote the response. The API server's
//     reasons for a decision are in no event.
//   - The constraint of an impersonation (KEP-5284) is not recorded.
//   - If the client's own credential goes upstream (token passthrough, --disable-impersonation),
//     the API server decides about impersonation, and only the API server records it.
//   - A token in the URI or the user agent is replaced by REDACTED, except in the
//     arguments of a command.
//   - A path is cut at 8 KiB, a query at 16 KiB, a name at 1 KiB.
//   - edge replaces an Audit-ID that has more than 256 bytes, characters other than printable
//     ASCII, or what may be a token.
//   - A request that the API server cannot parse, and answers with 500 and no event
//     (/api/v1/watch), has events here.
//
// At most 16 batches are on their way to a webhook, including those that wait for a retry. The size
// of the buffer before them is set by a flag; events that do not fit are dropped, counted and
// logged. At the end edge delivers the remaining events for at most 5 s.
//
//	file              content
//	accesslog.go      the access log line
//	text.go           values from outside: limited in length, printable
//	redact.go         removes tokens; what the access log shows of a URL
//	eventrequest.go   the parts of a request that an event has
//	options.go        the flags
//	validate.go       checks the flags
//	policy.go         the audit policy: loading, and the rule for a request
//	events.go         the backends of events, and their end
//	requestevents.go  the events of one request
//	attributes.go     the attributes of a request, for an audit policy and for an authorizer
//	users.go          the requestor, and the user that the requestor impersonates
//	delivery.go       adds batching, modes and truncation to a backend
//	logfile.go        opens the audit log file, or standard output
//	webhook.go        posts batches, and retries
//	metrics.go        Metrics: events made, lost and waiting
//	throttle.go       limits how many batches are sent at once, and how fast
//	errors.go         errors for a path that cannot be parsed and for an event that was not stored
package audit
