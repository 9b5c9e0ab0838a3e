// Package review describes, as an error with a Status for the client, a review that the API server
// did not answer. A review is a question to the API server: a TokenReview or a SubjectAccessReview.
//
// Two packages of edge, independent of each other, send reviews to the API server: authn asks which
// user a token belongs to (TokenReview), and impersonate asks whether a user may do something
// (SubjectAccessReview). If the API server gives no answer, neither package knows yes or no. Both
// then return an [Error]. Its Status tells the client who can fix the problem:
//
//	code                who can fix it, and what is wrong
//	400                 the client: the API has no review for such a request
//	429, Retry-After    nobody needs to: too many reviews are in progress; the client tries again
//	500                 the administrator of edge: edge lacks a permission, or the API server does
//	                    not support the review
//	503, Retry-After    the API server does not answer: the client tries again; or it does not
//	                    accept edge's own credential: the administrator of edge must fix that
//
// The package sends no review itself, and makes no decision about a request.
//
//	file        content
//	error.go    Error, and Kind, which creates errors
//	metrics.go  Metrics of the reviews of both packages
package review
