// Package impersonate decides what a request may say about who sends it, and says it upstream.
//
//	if err := impersonate.Refuse(r.Header); err != nil { ... }   // 403: the client brought its own Impersonate-*
//	id, err := impersonate.FromUser(user)                        // 403: nobody that edge may name upstream
//	err = reviewer.Review(ctx, id, attrs)                        // 403, if more is needed than upstream asks for by itself
//	err = impersonate.Rewrite(out.Header, id)                    // last, on every path alike: REST, WebSocket, SPDY
//
// It is not authentication: it takes the user as it comes. It starts no goroutine, and only a review opens a connection.
//
// # What leaves
//
//	of the inbound header                        upstream
//	Impersonate-*, any case, Impersonate_*       nothing; refused before, deleted again here
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
// Of [Self] nothing is set, and the inbound Impersonate-* pass as they are: edge connect works with its user's own credential.
//
// The identity is set after Connection was obeyed, so a client cannot remove it by naming its headers there
// (CVE-2021-31999). Credentials that travel elsewhere, as in a WebSocket subprotocol, are removed by whoever reads them.
//
// # Who is refused
//
// Everybody whose name or groups would not arrive as they are: with a control character, with white space around, with extra
// keys that the API server decodes to another key. Everybody without a name, since an empty Impersonate-User is edge itself.
// And everybody whose name or group begins with "system:": those are Kubernetes' own, and an issuer may not mint them.
//
// # What is reviewed
//
// A [Reviewer] asks the API server about the user that it would make of the identity's headers: with system:authenticated, and
// with an account's own groups. A yes and a no are remembered for 10 s, at most 4,096 of them; equal questions at the same
// time are one. A review that fails is a [ReviewError], and never a yes.
package impersonate
