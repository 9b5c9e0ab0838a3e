package upstream

import (
	"context"

	"edge/bridge/internal/negotiate"
	"edge/impersonate"
)

// mayCreate asks whether an identity may create a stream. Where edge has it go upstream as a GET, the API server would ask for
// get only: before 1.35, in later releases with a gate off, and on a proxy in every release.
func (up *Cluster) mayCreate(ctx context.Context, id impersonate.Identity, t negotiate.Target) error {
	return up.review(ctx, id, t.Attributes("create"))
}
