package upstream

import (
	"context"

	"edge/bridge/internal/negotiate"
	"edge/impersonate"
)

// mayCreate checks whether an identity may create a stream. edge needs this check when it requests
// the stream by GET, because the API server may then check only get. That holds for releases before
// 1.35, for later releases with the feature gate off, and for proxied streams in every release.
func (up *Cluster) mayCreate(ctx context.Context, id impersonate.Identity, t negotiate.Target) error {
	return up.review(ctx, id, t.Attributes("create"))
}
