// Package audit says who did what: one line per request in the access log, and audit events as kube-apiserver writes them. It
// decides nothing about a request, but that one which cannot be put on record is not served, if the operator wants it so.
//
//	events, err := audit.New(options, log)        // nil without a policy or a backend
//	go events.Run(ctx)                            // ctx ends after the last request; returns when all is delivered
//	bridge.Config{Observe: bridge.Observers(audit.NewAccessLog(log), events), ...}
//
// # Access log
//
// A line is written when a request has ended, a stream's when its session has. AuSuccess: edge knew who it was and sent the
// request on, whatever came of it. AuFail: it did not, or the identity may not be used; reason says why. refusal is there where
// edge itself, and not the API server, is the author of the answer: one word that says why, see [bridge.Reason]. Of a URI there
// is the path, and of the query what Kubernetes itself defines and is harmless; "..." stands for the rest, such as the words of
// a command. user, groups and uid are who authenticated; asUser, asGroups and asUid as whom the request went on, if that is
// somebody else; asExtra what edge added to their extras; droppedGroups what --unusable-groups=drop left out of groups.
// xForwardedFor is there where --trusted-proxies vouched for it. No
// value is longer than its bound, text that was cut ends in "...", and nothing that is not printable is printed as it came.
//
//	level=INFO msg=AuSuccess source=203.0.113.7 xForwardedFor="203.0.113.7, 10.0.0.9" method=POST
//	  uri="/api/v1/namespaces/team/pods/web-0/exec?container=app&stdout=true&..." proto=HTTP/1.1
//	  userAgent="kubectl/v1.36.3 (linux/amd64) kubernetes/5c5b2e7" user=oidc:alice groups="oidc:dev,\"oidc:night shift\""
//	  uid=248289761001 status=101 bytesIn=412 bytesOut=1024 duration=2s session=1f0c6a2b9d3e4f58
//	  downstream="websocket v5.channel.k8s.io" upstream="SPDY/3.1 v4.channel.k8s.io" cause=completed
//
//	level=INFO msg=AuFail source=198.51.100.4 method=GET uri="/api/v1/pods?limit=500" proto=HTTP/1.1 userAgent=""
//	  reason=Unauthorized status=401 refusal=credential bytesIn=0 bytesOut=157 duration=312µs
//
// The same in JSON, of a watch whose client left, by somebody who impersonates bob:
//
//	{"level":"INFO","msg":"AuSuccess","source":"198.51.100.4","method":"GET","uri":"/api/v1/namespaces/team/pods?watch=true",
//	  "proto":"HTTP/1.1","userAgent":"kubectl/v1.36.3","user":"oidc:alice","groups":["oidc:dev","oidc:night shift"],
//	  "uid":"248289761001","asUser":"bob","asExtra":["remote-client-ip=203.0.113.7"],"status":200,"bytesIn":0,"bytesOut":70311,
//	  "duration":60000000000,"cut":true}
//
// # Audit events
//
// The flags are kube-apiserver's, the policy is evaluated by its code on the same attributes, and a test compares the events
// with those of its own filters:
//
//	request                      RequestReceived   ResponseStarted    ResponseComplete
//	plain                        who is known      -                  the answer is written
//	watch, log, proxy            who is known      the answer begins  the answer is written
//	exec, attach, port-forward   who is known      101                the session ended
//	not authenticated            -                 the 401            -
//
// user is who authenticated, with system:authenticated and the id of the credential; impersonatedUser is there if they
// impersonate somebody (kubectl --as), without the extras in which the requestor travels. The annotation
// edge.identity/dropped-groups has the groups that user went on without (--unusable-groups=drop), a list in JSON of the access
// log's bounds. Every request goes upstream with an Audit-ID, the client's own if it sent one, so that
// edge's events and the API server's have the same, and the API server tells it to the client.
//
// They differ from kube-apiserver's in this:
//
//   - bodies are the API server's to put on record: at the levels Request and RequestResponse there is metadata only;
//   - of an answer that is not edge's own the status has the code only, and no event has the API server's reasons for it;
//   - the constraint of an impersonation (KEP-5284) is not told;
//   - whoever comes with a credential of the API server's own (token passthrough, --disable-impersonation) may impersonate
//     there; that is on record there;
//   - a token in the URI, the user agent or the Audit-ID is replaced by REDACTED, but among the words of a command;
//   - a path of more than 8 KiB, a query of more than 16 KiB and a name of more than 1 KiB are cut, an Audit-ID of more than
//     256 bytes is not taken;
//   - what an API server cannot parse, and answers with 500 and no event (/api/v1/watch), has its events here.
//
// A webhook has at most 16 batches under way, those that wait to be sent again among them; the buffer before them is bounded
// by its flag, and what does not fit is dropped, counted and said in the log. At the end all is delivered that can be in 5 s.
//
//	file              what is in it
//	accesslog.go      the access log's line
//	text.go           what others chose, bounded and printable
//	redact.go         tokens taken out; what an event takes from a request
//	options.go        the flags
//	validate.go       what is wrong with them
//	events.go         the policy, the backends, and their end
//	requestevents.go  the events of one request
//	attributes.go     what a request is about, for a policy and for an authorizer
//	users.go          who authenticated, and whom they impersonate
//	backend.go        what flags put before a backend: batches, modes, truncation
//	logfile.go        the file, or standard output
//	webhook.go        batches posted, and posted again
//	throttle.go       how many batches are under way, and how fast they follow
//	errors.go         a request that no policy can be asked about, and an event that nobody took
package audit
