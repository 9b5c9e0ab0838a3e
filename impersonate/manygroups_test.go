package impersonate

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// distant replaces an API server that is far away (it answers late) and allows everything.
type distant struct {
	authorizationv1client.SubjectAccessReviewExpansion
	away time.Duration
}

func (d distant) Create(
	ctx context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions,
) (*authorizationv1.SubjectAccessReview, error) {
	select {
	case <-time.After(d.away):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	review.Status.Allowed = true
	return review, nil
}

// TestThousandGroups checks that the reviews of impersonations with 1,000 groups end within their
// timeout, even if the API server is 100 ms away. Two of the impersonations are by one user, and a
// third one is by a user with 1,000 groups.
func TestThousandGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, PolicyConfig{Ask: NewReviewer(distant{away: 100 * time.Millisecond})})
		groups := func(of string) []string {
			names := make([]string, 1000)
			for i := range names {
				names[i] = fmt.Sprintf("%s-%d", of, i)
			}
			return names
		}
		many := &user.DefaultInfo{Name: "bob", Groups: groups("bobs")}
		var impersonating sync.WaitGroup
		for name, who := range map[string]user.Info{"one": janeUser, "two": janeUser, "three": many} {
			impersonating.Go(func() {
				h := http.Header{"Impersonate-User": {name}, "Impersonate-Group": groups(name)}
				id, err := p.Identity(t.Context(), who, Request{Header: h})
				if err != nil || len(id.Groups) != 1000 {
					t.Errorf("%s: %d groups, %v", name, len(id.Groups), err)
				}
			})
		}
		impersonating.Wait()
		id, err := p.Identity(t.Context(), many, Request{Header: http.Header{}})
		if err != nil || len(id.Groups) != 1000 {
			t.Errorf("a user of 1,000 groups: %d, %v", len(id.Groups), err)
		}
		h := make(http.Header)
		if err := Rewrite(h, id); err != nil || len(h["Impersonate-Group"]) != 1000 {
			t.Errorf("upstream: %d groups, %v", len(h["Impersonate-Group"]), err)
		}
	})
}
