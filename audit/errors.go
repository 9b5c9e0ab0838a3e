package audit

import "errors"

var (
	// errNoKind is the one error of NewRequestInfo, whose text has the query.
	errNoKind = errors.New("audit: the path names neither a kind nor a namespace")
	// errNotStored is a request's whose event no backend took. kube-apiserver says it in these words.
	errNotStored = errors.New("failed to store audit event")
)
