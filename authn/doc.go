// Package authn authenticates requests. It turns a client certificate, a token of an OpenID Connect
// issuer, or a token that the API server accepts into a user.
//
//	a, err := authn.New(authn.Options{File: "authentication.yaml"})
//	go a.Run(ctx) // fetches keys, reloads the file
//	ca, err := authn.NewClientCA("clients.crt")
//	go ca.Run(ctx) // reloads the file
//	chain := authn.NewChain(authn.ChainOptions{Tokens: a, ClientCA: ca, Review: reviewer.Review})
//	...
//	who, err := chain.Authenticate(r) // who.User, who.Kind, who.Expires; r has no credential now
//
// The package authorizes no request and writes no response. The caller answers an error with 401,
// with 503 if it is [ErrNotReady], or with the Status of an [edge/review.Error]. From each issuer
// the package fetches two documents: the discovery document and the keys. It never fetches a URL
// that a token contains. The only request to the API server is the TokenReview of a
// [TokenReviewer].
//
// # Credentials
//
// A [Chain] tries these credentials in kube-apiserver's order, and the first accepted one counts:
//
//	client certificate   of the [ClientCA]. The user's name is the common name, the groups are the
//	                     organizations
//	bearer token         in Authorization, or in a browser's WebSocket subprotocol; of an issuer, by
//	                     [Authenticator.Authenticate]
//	the same token       of the API server, by [TokenReviewer.Review], if no issuer accepts it
//	none                 anonymous, on a path that the configuration or [AnonymousPaths] allows
//
// A request whose credential is refused never becomes anonymous. The credential is removed from the
// request in any case ([Strip]). If the token is also in the URL, it is removed there too, and the
// request is refused ([StripURL]). [Result].Kind is the kind of the accepted credential: a token
// beside an accepted certificate is ignored.
//
// # Checks of an issuer's token
//
//	check                                    made by                 Reason of the refusal
//	length, alphabet, three parts            authn                   TooLarge, Malformed
//	alg is allowed                           go-jose                 Algorithm
//	iss is a configured issuer; made         authn, then go-oidc     Issuer
//	before any key is tried
//	signature, with a key of that issuer     go-jose                 Signature
//	exp                                      go-oidc                 Expired
//	aud contains an audience of the issuer   authn                   Audience
//	nbf, at most a minute in the future      authn                   NotYetValid
//	username, email_verified, groups, uid,   authn, cel-go           Claims
//	extra; required claims; rules over
//	claims; rules over the user
//	the token only refers to its groups      authn                   DistributedGroups
//
// [Authenticator.Authenticate] stops at the first refusal. [Authenticator.Explain] runs the same
// list of checks, continues after a refusal and reports all refusals.
//
// If signature, issuer and audience of a token are right, [RefusedError].ClientMessage states the
// reason for the client: the place of a rule and its message, or the name of a claim, but never a
// value.
//
// With the same --oidc-* flags or the same file, authn and kube-apiserver accept the same tokens,
// with the same name, UID, groups and extras, and refuse the same files. A test compares both with
// 10,000 tokens under 200 configurations. These differences are intended; in all but the last,
// authn refuses more:
//
//   - Groups that a token only refers to (_claim_names, "groups overage" of Entra ID) are refused
//     and not fetched.
//   - A token has at most [MaxTokenBytes], its header at most 64 KiB, and it contains no white
//     space.
//   - Discovery document and keys have at most 1 MiB each and come from https.
//   - Several Authorization lines, words after the token, and two different credentials are
//     refused. kube-apiserver reads a part of them.
//   - A file has one YAML document of at most 1 MiB, and no egress selectors.
//   - The anonymous section may change while edge runs.
//
// # Configuration
//
// [Flags] become one entry of an AuthenticationConfiguration, as in kube-apiserver. A file is one
// in v1, v1beta1 or v1alpha1, decoded strictly and validated as a whole by Kubernetes' own code.
// Issuers in a file may sign with all nine asymmetric algorithms.
//
// The file is read every 3 s, and a good change is used at once. A file with any error is refused
// as a whole: the last good configuration stays in use, and the log and [Authenticator.Warnings]
// report why. An issuer that does not change keeps its keys and its cached tokens.
//
// # Keys
//
// One goroutine per issuer fetches keys; [Authenticator.Run] owns it. It renews them every 5
// minutes, so that a withdrawn key is noticed. It also fetches when no current key verifies a
// token, at most once in 10 s: all requests with such tokens wait for the same fetch. So no token
// is refused wrongly if the issuer publishes a key 10 s before it signs with it. While an issuer is
// down, its last keys stay in use.
//
// # Files
//
// Authentication of a request:
//
//	chain.go            Chain: certificate, token, review, anonymous, in this order
//	result.go           Result and Kind: the sender of a request, and the kind of credential
//	credential.go       finds and removes the token in Authorization or a WebSocket subprotocol
//	urltoken.go         finds and removes the token in a URL
//	anonymouspaths.go   AnonymousPaths: paths that need no credential
//	clientcert.go       ClientCA: makes a user from a client certificate
//	certverdict.go      the stored verdict on the certificate of a connection
//	tokenreview.go      TokenReviewer: asks the API server for the user of a token
//	errors.go           RefusedError, its reasons, and all other errors
//	metrics.go          Metrics: requests by authenticator and result, keys, reloads
//
// Verification of an issuer's token:
//
//	authn.go            Authenticator: New, Run, Authenticate
//	verify.go           the list of checks; form, algorithm, issuer, signature, times, audience
//	verification.go     the state of one token during the checks; Verified, the result
//	claimmappings.go    the claims that make a user: username, groups, uid, extra
//	validationrules.go  the checks of required claims and of rules over claims and user
//	claims.go           reads claims of a payload without CEL
//	cel.go              converts claims and users to CEL values, and CEL values to strings
//	expressions.go      the expressions of the configuration, and how refusals name them
//	jws.go              splits a token into its three parts
//	algorithms.go       the signing algorithms
//	disclosure.go       decides which refusals the client may read
//	explain.go          Explain: all checks of one token, step by step
//	describe.go         describes for Explain what a check examined
//	tokencache.go       the cache of verified tokens
//	headercache.go      the cache of decoded headers
//
// Keys of an issuer:
//
//	keysondemand.go     the current keys, and the requests that wait for newer ones
//	keyschedule.go      how often keys are fetched, and how soon again after an error
//	keysource.go        keeps the keys of each issuer up to date, in one goroutine; the last error
//	keyfetcher.go       how keys are fetched: discovery, JWK Set, limits
//	health.go           Ready and Warnings
//
// Configuration:
//
//	options.go          Options: flags or a file, log, clock
//	flags.go            Flags: converts the --oidc-* flags to a configuration
//	configfile.go       decodes and validates the file, but does not compile it
//	configwatcher.go    adopts or refuses changes of the file
//	ruleset.go          the compiled configuration: issuers and anonymous requests
//	issuer.go           one issuer of the configuration
//	readfile.go         reads files of bounded size
//	sanitize.go         makes one short line for the log from text of others
package authn
