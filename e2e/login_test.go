package e2e

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/issuer"
)

// TestLoginAndRefresh checks the tokens of a login plugin. The token from the login and the
// refreshed tokens must belong to the same user. A refresh must not invalidate the earlier tokens.
func TestLoginAndRefresh(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		first, err := idp.LoginOffline(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		got := []issuer.Tokens{first}
		for range 2 {
			before := got[len(got)-1]
			eventually(t.Context(), t, patience, "a token of a later second", func(ctx context.Context) error {
				next, err := idp.Refresh(ctx, before.Refresh)
				if err != nil {
					t.Fatal(err)
				}
				// refresh the token again if the new token is equal: the provider issued both in
				// the same second, and iat and exp count seconds
				if next.ID == before.ID {
					before.Refresh = next.Refresh
					return errors.New("the same token again")
				}
				got = append(got, next)
				return nil
			})
		}
		wantGroups := []string{testbed.GroupsPrefix + "dev", "system:authenticated"}
		for _, path := range paths {
			for i, tokens := range got {
				user, err := whoAmI(t.Context(), clientAs(t, s.access(path, tokens.ID), rest.ImpersonationConfig{}))
				if err != nil {
					t.Errorf("%s, token %d: %v", path, i, err)
					continue
				}
				if user.Username != testbed.UsernamePrefix+"alice" || !reflect.DeepEqual(user.Groups, wantGroups) || len(user.Extra) != 0 {
					t.Errorf("%s, token %d: the API server sees %+v", path, i, user)
				}
			}
		}
		// edge must not accept a refresh token, which is only for the issuer.
		if a := raw(t.Context(), t, s.access(direct, first.Refresh), "GET", podsURI, askJSON); a.code != 401 {
			t.Errorf("a refresh token: %v, want 401", a)
		}
	})
}
