// Package ops is the operator's port, plain HTTP and apart from users' requests:
//
//	GET /ready   200 "ok" and a line for each thing to look at, or 503 and the
//	             reason, while edge must get no traffic
//	GET /live    200 "ok" while the process serves
//
// Anything else is 404. It is not a part of the public listener.
//
// An [APIServer] knows whether a request of edge's own is answered by the API
// server, which is a part of being ready. How the API server itself is, is not.
//
//	file          what is in it
//	ops.go        the server, its probes
//	apiserver.go  whether the API server answers
package ops
