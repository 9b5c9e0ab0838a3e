// Package authn turns the credential of a request into a user: a client certificate, a token of an OpenID Connect issuer, or
// one that the API server vouches for.
//
//	a, err := authn.New(authn.Options{File: "authentication.yaml"}) // or Flags, for one issuer
//	go a.Run(ctx)                                                   // discovery, keys, their renewal; the file's changes
//	ca, err := authn.NewClientCA("clients.crt")
//	go ca.Run(ctx)                                                  // the file's changes
//	chain := authn.NewChain(authn.ChainOptions{Tokens: a, ClientCA: ca, Review: reviewer.Review})
//	...
//	who, err := chain.Authenticate(r) // who.User, who.Kind, who.Expires; whatever came, it goes no further
//
// It is not authorization, and writes no response: an error is the caller's to answer, with 401, with 503 where it is
// [ErrNotReady], or with the Status of an [edge/review.Error]. It fetches two documents of each issuer, its discovery and its
// keys, and no URL that comes out of a token. Of the API server it knows the one question that a [TokenReviewer] asks.
//
// # Who says who it is
//
// A [Chain] asks in kube-apiserver's order, and the first that accepts wins:
//
//	a client certificate   of the [ClientCA], judged once per connection, see [ClientCA.CachePerConnection]: the user is its
//	                       common name, the groups its organizations
//	a bearer token         in Authorization, or a browser's in a WebSocket subprotocol: an issuer's, by [Authenticator.Authenticate]
//	the same token         as the API server's, by [TokenReviewer.Review], where the other says no
//	nothing                anonymous, on the paths where the configuration, or [AnonymousPaths], allows it
//
// A credential that is not accepted makes nobody anonymous. The credential is taken off the request in any case ([Strip]). A
// token that stands in the URL, too, is taken out of it, and the request is refused ([StripURL]).
//
// [Result].Kind is the one that was accepted. A token beside an accepted certificate is not looked at, and does not change it.
//
// A review's yes is remembered for 10 s, its no for 5 s, 4096 of each; 32 are under way at a time, and 256 wait. A token for none
// of the audiences that were asked for is a no. Where nobody knows, that is an [edge/review.Error] and not a no.
//
// # What is decided of an issuer's token, and by whom
//
//	step                                     by                      refused as
//	size, alphabet, three parts              here                    TooLarge, Malformed
//	alg is one of those allowed              go-jose                 Algorithm
//	iss is a configured issuer, before       here, then go-oidc      Issuer
//	any key is tried
//	signature, by a key of that issuer       go-jose                 Signature
//	exp                                      go-oidc                 Expired
//	aud has one of the issuer's audiences    here                    Audience
//	nbf, at most a minute ahead              here                    NotYetValid
//	username, email_verified, groups, uid,   here, cel-go            Claims
//	extra; required claims; rules over
//	claims; rules over the user
//	groups that are elsewhere                here                    DistributedGroups
//
// These are the checks of one list. [Authenticator.Authenticate] ends at the first refusal, [Authenticator.Explain] goes on
// and says them all.
//
// Whoever holds a token that signature, issuer and audience let pass may read which of the others refuses it, in
// [RefusedError].ClientMessage: a rule by its place in the configuration and its message, a claim by its name. No expression, no
// value of a claim and nothing that an expression makes of them is told; and where one of those three is wrong, nothing is.
//
// The outcome is kube-apiserver's for the same --oidc-* flags or the same file: the same tokens are accepted, with the same
// name, uid, groups and extra, and the same files are refused. A test drives both with 10,000 tokens under 200 configurations.
// The differences, all on the refusing side but the last:
//
//   - groups that a token only names (_claim_names, Entra ID's "groups overage") are refused, not fetched;
//   - a token is at most [MaxTokenBytes] long, its header 64 KiB, and there is no white space inside;
//   - discovery and keys must be small and come from https;
//   - more than one Authorization line, words after the token, and two different credentials are refused, not read in part;
//   - a file has one YAML document and is at most 1 MiB long; egress selectors are refused;
//   - the anonymous section may change while edge runs.
//
// # Configuration
//
// [Flags] become one entry of an AuthenticationConfiguration, as in kube-apiserver; a file is one in v1, v1beta1 or v1alpha1,
// decoded strictly and validated as a whole by the API's own code. With a file all nine asymmetric algorithms are accepted.
//
// The file is read every 3 s. A change is adopted at once: an issuer of which nothing changed keeps its keys and what is
// remembered of its tokens, one with other rules keeps its keys, one whose keys come from elsewhere (discovery URL, certificate
// authority) starts without any, and whoever comes with its token waits for them. A file that is wrong anywhere is refused as
// a whole; the last good one stays in use, and one line of the log and [Authenticator.Warnings] say why.
//
// # Keys
//
// Each issuer has one goroutine, which [Authenticator.Run] owns, that fetches. A token that no key in hand verifies asks its
// issuer's for new keys, and waits together with all others that ask; at most one such fetch begins in 10 s, whatever
// arrives. An issuer that publishes a key 10 s before it signs with it therefore loses no token. Keys are renewed every 5
// minutes even if nobody asks, so that a withdrawn one is noticed, and the last good ones serve while the issuer is down.
//
// # Remembering
//
// A verified token is remembered by its SHA-256 until it expires, until its issuer's keys or configuration change in any way,
// or until 4096 others were used since, of whatever issuer. The token itself is never kept. Headers, which
// are the same in all tokens of one key, are remembered as go-jose read them, 64 at most: that spares their next reading, and no
// check.
//
// # Files
//
// What authenticates a request:
//
//	chain.go            Chain: certificate, token, review, anonymous, in this order
//	result.go           Result and Kind: who sends a request, and by which credential
//	credential.go       the token out of Authorization or a WebSocket subprotocol, and how it is stripped
//	urltoken.go         the token out of a URL
//	anonymouspaths.go   AnonymousPaths: where nothing is needed
//	clientcert.go       ClientCA: who a client certificate is
//	certverdict.go      what a connection's certificate was found to be, for as long as the connection lasts
//	tokenreview.go      TokenReviewer: the API server is asked whose token it is
//	errors.go           RefusedError and its reasons, a review without an answer, and all other errors
//
// What verifies an issuer's token:
//
//	authn.go            Authenticator: New, Run, Authenticate
//	verify.go           the list of checks, and those of form, algorithm, issuer, signature, times and audience
//	verification.go     one token on its way through the checks; Verified, which comes of it
//	claimmappings.go    the checks that make a user: username, groups, uid, extra
//	validationrules.go  the checks of required claims and of the rules over claims and user
//	claims.go           a payload's claims as they are read without CEL
//	cel.go              claims and users as CEL sees them, and what CEL gives back
//	expressions.go      the configuration's expressions, as refusals name them
//	jws.go              a token's three parts
//	algorithms.go       the signing algorithms
//	disclosure.go       which refusals the client may read
//	explain.go          Explain: all checks of one token, step by step
//	describe.go         what a check looked at, in words
//	tokencache.go       verified tokens that are remembered
//	headercache.go      headers that are remembered
//	stack.go            room on the stack before a verification
//
// What an issuer's keys are:
//
//	keysondemand.go     the keys in hand, and who waits for newer ones
//	keysource.go        when keys are fetched: schedule, backoff, what went wrong
//	keyfetcher.go       how: discovery, the JWK Set, their bounds
//	keyrefreshers.go    one goroutine for each source of keys
//	health.go           Ready and Warnings
//
// What is configured:
//
//	options.go          Options: flags or a file, log, clock
//	flags.go            Flags: the --oidc-* flags, made into a configuration
//	configfile.go       the file, decoded strictly and validated: not compiled yet
//	configwatcher.go    the file's changes, adopted or refused
//	ruleset.go          the configuration, compiled: issuers and anonymous requests
//	issuer.go           one issuer of it
//	readfile.go         files of bounded size
//	sanitize.go         text of others in one short line of a log
package authn
