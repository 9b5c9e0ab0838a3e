// Package review says what became of a review that the API server gave no answer to.
//
// edge asks the API server in two rooms that know nothing of each other: authn, whose token it is (TokenReview), and
// impersonate, who may do what (SubjectAccessReview). Without an answer both mean the same: neither yes nor no, but an [Error],
// whose Status tells the client who can do something about it.
//
//	code                who
//	400                 the client: such a question cannot be asked
//	429, Retry-After    nobody: too many reviews are under way
//	500                 whoever runs edge: it lacks a right, or the API server cannot do it
//	503, Retry-After    nobody, or whoever runs edge: the API server does not answer, or does not know edge
//
// It asks nothing by itself, and decides nothing about a request.
//
//	file      what is in it
//	error.go  Error, and Kind, which makes them
package review
