package audit

import "errors"

var (
	// errNoKind replaces the only error of NewRequestInfo (k8s.io/apiserver), whose text contains
	// the query and so may contain a token.
	errNoKind = errors.New("audit: cannot determine kind and namespace from the request path")
	// errNotStored is the error for a request whose event no backend accepted. The text is
	// kube-apiserver's.
	errNotStored = errors.New("failed to store audit event")
)
