// Package authn turns the credential of a request into a user, by OpenID Connect.
//
//	a, err := authn.New(authn.Config{File: "authentication.yaml"}) // or Flags, for one issuer
//	go a.Run(ctx) // discovery, keys, their renewal; the file's changes
//	...
//	token, ok, err := authn.Credential(r)         // Authorization: Bearer, or a browser's subprotocol
//	authn.Strip(r.Header)                         // whatever came, it goes no further
//	v, err := a.Authenticate(r.Context(), token)  // v.User, v.Expires, v.Issuer
//
// It is not authorization, knows no upstream and writes no response: an error is the caller's to answer, with 401, or
// with 503 where it is [ErrNotReady]. It fetches two documents of each issuer, its discovery and its keys, and no other URL:
// none that comes out of a token.
//
// # What is decided, and by whom
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
// The outcome is kube-apiserver's for the same --oidc-* flags or the same file: the same tokens are accepted, with the same
// name, uid, groups and extra, and the same files are refused. A test drives both with 10,000 tokens under 200 configurations.
// The differences, all on the refusing side but the last:
//
//   - groups that a token only names (_claim_names, Entra ID's "groups overage") are refused, not fetched;
//   - a token is at most [MaxTokenBytes] long and has no white space inside;
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
// a whole; the last good one stays in use, and one line of the log and [Authenticator.Notes] say why.
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
// or until 4096 others were used since, of whatever issuer. The token itself is never kept.
package authn
