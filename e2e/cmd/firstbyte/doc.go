// Command firstbyte measures the time from the start of an exec to its first byte of output:
// directly at a real API server, and at the same API server through edge.
//
//	make firstbyte                                  # takes some minutes
//	make firstbyte FIRSTBYTEFLAGS='--sessions=20'   # fewer sessions
//
// The command starts a cluster of the current release, an OpenID Connect provider and edge. It then
// starts sessions one after the other, each on its own connection as kubectl does, alternately
// direct and through edge. A direct client has a token of a ServiceAccount. A client through edge
// has an ID token, and edge impersonates its user. Both clients use the same protocol and
// subprotocol. With WebSocket v5, the API server translates a direct session to SPDY, and edge
// translates a session through edge. With SPDY, the API server forwards the bytes of a direct
// session.
//
// Each time is measured up to the first byte of the 101 response, or up to the first byte of
// stdout. The time starts with the dial or, in the report's lines named "request", after the
// client's TCP and TLS handshakes. The ratio of a round is the median through edge divided by
// the median of the direct sessions. CPU is the time that the kernel accounts to the processes of
// edge and of the API server while the sessions run; it does not include the kubelet and the
// container runtime. If a ratio exceeds 1.25, the report states it, but the exit code does not
// change.
//
// The command must run as root, because the cluster's node needs root.
package main
