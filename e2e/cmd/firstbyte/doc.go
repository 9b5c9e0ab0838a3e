// Command firstbyte measures how long an exec takes to its first byte of output: at a real API server, and at the same
// API server through edge.
//
//	make firstbyte                                  # some minutes
//	make firstbyte FIRSTBYTEFLAGS='--sessions=20'   # less
//
// It brings up the new cluster, an OpenID Connect provider and edge, and then starts sessions one after the other, each on a
// connection of its own as kubectl does, direct and through edge in turn. Direct, the client has a token of a
// ServiceAccount; through edge it has an ID token, and edge impersonates. Both speak the same dialect: with WebSocket v5
// the API server translates direct, and edge does in its place; with SPDY the API server passes bytes on direct.
//
// A session's times end with the first byte of the 101 and the first byte of stdout. They begin with the dial; "request" is
// without the client's own TCP and TLS handshakes. A round's ratio is that of its two medians. CPU is what the kernel says the
// processes of edge and the API server used while the sessions of one way ran; the kubelet's and the runtime's are not in it.
// A missed bar is said, and changes no exit code.
//
// It needs root, for the cluster's node.
package main
