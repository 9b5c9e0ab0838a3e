// Package impersonate decides as whom a request goes upstream, and says it there.
//
//	id, err := policy.Identity(ctx, user, impersonate.Request{...}) // the user, or whom the user may impersonate
//	err = reviewer.Review(ctx, id, attrs)                           // 403, if more is needed than upstream asks for by itself
//	err = impersonate.Rewrite(out.Header, id)                       // last, on every path alike: REST, WebSocket, SPDY
//
// It is not authentication: it takes the user as it comes. It keeps no goroutine, and only reviews and a
// [ConstrainedDetector] open connections.
//
// # What leaves
//
//	of the inbound header                        upstream
//	Impersonate-*, any case, Impersonate_*       nothing; read or refused before, deleted here
//	Authorization                                nothing
//	Connection and what it names, and the        nothing, but "Te: trailers" if the client takes trailers
//	other hop-by-hop headers
//	everything else                              unchanged
//
//	of the identity
//	name                                         Impersonate-User
//	UID, if there is one                         Impersonate-Uid
//	each group                                   Impersonate-Group, a line each
//	each extra value                             Impersonate-Extra-<key>, the key percent-encoded once
//
// Two kinds of identity are not impersonated. Of [TokenPassthrough] the sender's own token and inbound Impersonate-* pass: the API
// server decides about both. Of [EdgeItself] nothing is set, and the inbound Impersonate-* pass as they are: such a request has the
// rights of edge's own credential, which in edge connect is its user's.
//
// The identity is set after Connection was obeyed, so a client cannot remove it by naming its headers there
// (CVE-2021-31999). Credentials that travel elsewhere, as in a WebSocket subprotocol, are removed by whoever reads them.
//
// # Who is refused
//
// Everybody whose name or groups would not arrive as they are: with a control character, with white space around, with extra
// keys that the API server decodes to another key; and whoever has a group without a name. Everybody without a name, since an
// empty Impersonate-User is edge itself.
// And everybody whose name or group begins with "system:": those are Kubernetes' own, and an issuer may not mint them, unless
// [PolicyConfig].AllowSystem has the whole name, or the API server vouches for it. All of these are 403, before any review, and
// name the user or group that is the trouble.
//
// With [PolicyConfig].DropUnusable a user whose groups are the only trouble goes on without those that would not arrive: reviews
// ask about, and records tell of, those that are left, and [Identity].Dropped has the others. They go last, when all else was
// looked at with them, " system:masters" among it.
//
// # Who asks to impersonate
//
// A request may bring Impersonate-User, -Group, -Uid and -Extra-* as kube-apiserver reads them. These are 400, and nothing
// is asked:
//
//	any other header that begins with "impersonate", in any case
//	two different values of Impersonate-User or of Impersonate-Uid
//	a group, uid or extra without a user
//	a value, or an extra key, that would not arrive as it is, or is not UTF-8
//	more than 4,096 groups and extra values
//
// An empty Impersonate-User by itself asks for nobody. For each part of an impersonation request the API server is asked about
// the requestor, as its own filters do it (k8s.io/apiserver/pkg/endpoints/filters/impersonation):
//
//	part               verb impersonate                                verbs impersonate:<mode>
//	user               users                                           users in authentication.k8s.io
//	service account    serviceaccounts in its namespace                serviceaccounts in authentication.k8s.io, in its namespace
//	node               users                                           nodes in authentication.k8s.io
//	group              groups                                          groups in authentication.k8s.io; not "" or system:masters
//	uid                uids in authentication.k8s.io                   the same
//	extra              userextras/<key> in authentication.k8s.io       the same, if the key is a domain-prefixed path
//
// The right side is constrained impersonation (KEP-5284), and counts where the API server offers it. First comes the verb
// impersonate-on:<mode>:<verb> on what the request itself is about, and where it begins a stream the same with create: a WebSocket
// is a GET, of which kube-apiserver asks get, but edge sends a POST. The modes are tried in this order, the one that worked
// last for the requestor before all others, and the plain verb is one of them:
//
//	associated-node    a service account is the node that its token is bound to, and nothing beside its name is requested
//	arbitrary-node     a node, by its name alone
//	serviceaccount     a service account, by its name alone
//	user-info          anybody who is neither
//	                   anybody, by the plain verb
//
// At most 8 reviews of a request are under way at a time, 16 about one user and 64 of the process, and a request waits for all
// of its own 10 s, 20 ms more for each group and extra value, and a minute at most.
// Who is refused reads the API server's words; who finds no slot within a second, 429.
//
// The identity is then the one that was requested. Whoever asked is told to the API server in the extras
// originaluser.jetstack.io-user, -groups, -uid and -extra (the extras in JSON), as far as there are such, as kube-oidc-proxy
// does. A token or a request that has such a key itself is 403. What [PolicyConfig] adds replaces what token or request have
// of the same key, with and without an impersonation.
//
// # What is reviewed
//
// A [Reviewer] asks the API server about the user that it would make of the identity's headers: with system:authenticated, and
// with an account's own groups. A yes and a no are remembered for 10 s, at most 4,096 of them; equal questions at the same
// time are one. A review that fails is a [review.Error], and never a yes.
//
// # Files
//
//	impersonate.go           Rewrite: the header that goes upstream
//	hopbyhop.go              the headers that are for the next hop alone
//	headers.go               the names of Impersonate-* headers, and what such headers can carry
//	identity.go              Identity: somebody impersonated, a token passed through, or edge itself
//	system.go                names under "system:", which no issuer may mint
//	unusable.go              groups that are of no use upstream (--unusable-groups)
//	upstream.go              the user that the API server makes of an identity's headers
//	digest.go                a digest of an identity
//	record.go                the extras that tell the API server who impersonates
//	policy.go                Policy: as whom a request goes upstream
//	request.go               Request: what a Policy decides from
//	impersonationrequest.go  a client's Impersonate-* headers, read and checked
//	attempt.go               the questions about an impersonation request, and their order
//	mode.go                  the modes of constrained impersonation, and the plain one
//	question.go              one question
//	reviewspec.go            a review about what a request does
//	denial.go                a no, in the API server's words
//	asker.go                 Asker: whoever asks a Policy's questions
//	reviewer.go              Reviewer: access reviews in edge's name, shared and remembered
//	slots.go                 how many of them are under way, of all and about one user
//	passthroughreviewer.go   PassthroughReviewer: access reviews in the name of a sender whose token is passed through
//	constrained.go           ConstrainedDetector: whether the API server offers constrained impersonation
//	errors.go                refusals, and reviews without an answer
package impersonate
