// Package edge is the root of the module. It has no code, only tests: one checks which package may
// import which, another checks that the binary does not link gRPC. The program is in cmd/edge.
package edge
