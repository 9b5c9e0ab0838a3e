// Package impersonate decides for which user edge sends a request to the API server, and writes
// that user into the request's Impersonate-* headers.
//
//	// the authenticated user, or the user whom that user's request impersonates
//	id, err := policy.Identity(ctx, user, impersonate.Request{...})
//	// 403, for a right that the API server does not check for the request itself
//	err = reviewer.Review(ctx, id, attrs)
//	// last, on every path: REST, WebSocket, SPDY
//	err = impersonate.Rewrite(out.Header, id)
//
// The package does not authenticate the user. It keeps no goroutine, and only reviews and a
// [ConstrainedDetector] open connections.
//
// # What goes upstream
//
//	header of the client                         upstream
//	Impersonate-*, any case, Impersonate_*       removed; edge has read or refused them
//	Authorization                                removed
//	Connection, the headers that it names, and   removed; "Te: trailers" stays
//	the other hop-by-hop headers
//	all other headers                            unchanged
//
//	identity                                     upstream
//	name                                         Impersonate-User
//	UID, if there is one                         Impersonate-Uid
//	groups                                       Impersonate-Group, a line for each group
//	extras                                       Impersonate-Extra-<key>, a line for each value;
//	                                             the key is percent-encoded once
//
// edge does not impersonate two kinds of identity. A request with the identity [TokenPassthrough]
// goes upstream with its sender's own token and Impersonate-* headers, and the API server decides
// about both. A request with the identity [EdgeItself] goes upstream with its Impersonate-* headers
// and with the rights of edge's own credential. Only edge connect uses it: there the credential
// belongs to edge's user.
//
// [Rewrite] sets the identity after it has removed the headers that Connection names. So a client
// cannot remove the identity with Connection (CVE-2021-31999). A credential in another place, such
// as a WebSocket subprotocol, is removed by the code that reads it.
//
// # Refused users
//
// These users are refused with 403 before any review. The message names the user or the group.
//
//   - The user has no name: a request with an empty Impersonate-User has the rights of edge itself.
//   - A part of the user would not arrive unchanged. It has a control character, or white space at
//     its beginning or end, or the API server would decode an extra key to another key.
//   - A group is empty.
//   - The name or a group begins with "system:". Such names are reserved for Kubernetes, and an
//     issuer may not produce them. Allowed are the whole names in [PolicyConfig].AllowSystem. A
//     user whose token the API server accepts is not checked, because the request goes upstream as
//     [TokenPassthrough].
//
// With [PolicyConfig].DropUnusable, edge removes a user's groups that would not arrive, if nothing
// else is wrong with the user. Reviews and records then contain only the other groups, and
// [Identity].Dropped contains the removed ones. Groups are removed after all other checks, so that
// " system:masters" is still refused.
//
// # Impersonation by a client
//
// A request may have Impersonate-User, -Group, -Uid and -Extra-*, as kube-apiserver reads them.
// These requests are refused with 400, without a review:
//
//	any other header that begins with "impersonate", in any case
//	two different values of Impersonate-User or of Impersonate-Uid
//	a group, UID or extra without a user
//	a value or an extra key that would not arrive unchanged, or is not UTF-8
//	more than 4,096 groups and extra values
//
// An empty Impersonate-User alone is no impersonation. For each part of an impersonation, edge asks
// the API server whether the requestor has the right. The API server's own filters check the same
// rights (k8s.io/apiserver/pkg/endpoints/filters/impersonation):
//
//	part               verb impersonate                   verbs impersonate:<mode>
//	user               users                              users *
//	service account    serviceaccounts in its namespace   serviceaccounts *, in its namespace
//	node               users                              nodes *
//	group              groups                             groups *; never "" or system:masters
//	UID                uids *                             uids *
//	extra              userextras/<key> *                 userextras/<key> *, if the key is a
//	                                                      domain-prefixed path
//	                   * in the API group authentication.k8s.io
//
// The right column is constrained impersonation (KEP-5284). edge uses it if the API server offers
// it. edge then first checks the verb impersonate-on:<mode>:<verb> for what the request itself
// does. If the request begins a stream, edge also checks this verb with create: a WebSocket request
// is a GET, for which kube-apiserver checks get, but edge sends a POST. A mode is one kind of right
// to impersonate. edge tries the modes in this order, after the mode that last worked for the
// requestor. The plain verb is one of the modes:
//
//	associated-node    the node that the requestor's service account token is bound to
//	arbitrary-node     a node
//	serviceaccount     a service account
//	user-info          any user that is neither a node nor a service account
//	(no mode)          any user, with the plain verb impersonate
//
// In the first three modes, the client may request only a name, and no group, UID or extra.
//
// At the same time at most 8 reviews of one request, 16 about one user and 64 of the process are
// running. A request waits for all its reviews at most 10 s, plus 20 ms for each group and extra
// value, and never longer than a minute. A client whose requestor lacks the right receives the API
// server's message. If a review gets no slot within a second, the client receives a 429.
//
// The requested user becomes the identity. It contains the requestor in the extras
// originaluser.jetstack.io-user, -groups, -uid and -extra (the extras as JSON), as in
// kube-oidc-proxy. Parts that the requestor does not have are left out. A token or a request that
// contains such a key itself is refused with 403. The extras of [PolicyConfig] replace those of the
// token or the request with the same key, with and without an impersonation.
//
// # Reviews
//
// A [Reviewer] asks the API server about the user that the API server makes of the identity's
// headers: with system:authenticated, and with the groups of a service account. An answer is cached
// for 10 s, yes or no, and at most 4,096 answers are. Concurrent equal questions are sent as one
// review. A review that fails gives a [review.Error] and never counts as a yes.
//
// # Files
//
//	headers.go               Rewrite: sets Impersonate-User and the other headers for upstream
//	extraheader.go           Impersonate-Extra-*: encodes and decodes the key
//	hopbyhop.go              removes the headers that are for the next hop only
//	identity.go              Identity: an impersonated user, a passed-through token, or edge itself
//	system.go                refuses names under "system:"
//	unusablegroups.go        groups that are of no use upstream (--unusable-groups)
//	upstreamuser.go          the user that the API server makes of an identity's headers
//	digest.go                a digest of an identity
//	extras.go                the extras that the configuration adds: fixed ones, the client's IP address
//	originaluser.go          the extras that contain the requestor of an impersonation
//	policy.go                Policy: decides for which user a request goes upstream
//	request.go               Request: the input of a Policy
//	impersonationrequest.go  reads and checks a client's Impersonate-* headers
//	impersonationreviews.go  the reviews that an impersonation needs, and their order
//	mode.go                  the modes of constrained impersonation, and the plain one
//	reviewspec.go            makes a review about what a request does
//	denial.go                a refusal in the API server's words
//	asker.go                 Asker: answers the questions of a Policy
//	subjectaccessreview.go   Reviewer: sends access reviews as edge, shares and caches them
//	reviewlimit.go           limits the running reviews, of all users and about one user
//	passthroughreviewer.go   PassthroughReviewer: sends access reviews with a sender's own token
//	constrained.go           ConstrainedDetector: whether constrained impersonation is offered
//	errors.go                refusals, and reviews without an answer
package impersonate
