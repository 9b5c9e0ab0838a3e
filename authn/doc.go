// Package authn turns the credential of a request into a user, by OpenID Connect.
//
//	a, err := authn.New(authn.Config{IssuerURL: "https://login.example.com", ClientID: "edge", GroupsClaim: "groups"})
//	go a.Run(ctx) // discovery, keys, their renewal
//	...
//	token, ok, err := authn.Credential(r)         // Authorization: Bearer, or a browser's subprotocol
//	authn.Strip(r.Header)                         // whatever came, it goes no further
//	v, err := a.Authenticate(r.Context(), token)  // v.User, v.Expires
//
// It is not authorization, knows no upstream and writes no response: an error is the caller's to answer, with 401, or
// with 503 where it is [ErrNotReady]. It fetches two documents, the issuer's discovery and its keys, and no other URL:
// none that comes out of a token.
//
// # What is decided, and by whom
//
//	step                                     by                      refused as
//	size, alphabet, three parts              here                    TooLarge, Malformed
//	alg is one of --oidc-signing-algs        go-jose                 Algorithm
//	iss, before any key is tried             here, then go-oidc      Issuer
//	signature, by a key of the issuer        go-jose                 Signature
//	exp                                      go-oidc                 Expired
//	aud contains --oidc-client-id            here                    Audience
//	nbf, at most a minute ahead              here                    NotYetValid
//	username, email_verified, groups,        here                    Claims
//	required claims
//	groups that are elsewhere                here                    DistributedGroups
//
// The outcome is kube-apiserver's for the same --oidc-* flags: the same tokens are accepted, with the same name, groups and
// extra. A test drives both with the same tokens. The differences, all on the refusing side:
//
//   - groups that a token only names (_claim_names, Entra ID's "groups overage") are refused, not fetched;
//   - a token is at most [MaxTokenBytes] long and has no white space inside;
//   - discovery and keys must be small and come from https;
//   - more than one Authorization line, words after the token, and two different credentials are refused, not read in part.
//
// # Keys
//
// One goroutine, [Authenticator.Run], fetches. A token that no key in hand verifies asks it for new keys, and waits together
// with all others that ask; at most one such fetch begins in 10 s, whatever arrives. An issuer that publishes a key 10 s
// before it signs with it therefore loses no token. Keys are renewed every 5 minutes even if nobody asks, so that a withdrawn
// one is noticed, and the last good ones serve while the issuer is down.
//
// # Remembering
//
// A verified token is remembered by its SHA-256 until it expires, until the issuer's keys change in any way, or until 4096
// others were used since. The token itself is never kept.
package authn
