// Package conformance runs the end-to-end tests of Kubernetes itself (e2e.test) against a cluster of
// the testbed: directly, or through edge. A test that fails through edge and passes directly is a
// fault of edge.
//
// The tests run pods from container images of a registry that the testbed does not reach. Import
// makes images of the same names from the programs of the package binaries.
package conformance
