// Package edge is the root of the module: no code, only the test that holds the
// rooms to their import table. The program is in cmd/edge.
package edge
