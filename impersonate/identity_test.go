package impersonate

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
)

// fromUser returns the identity of a user whose request does not impersonate, as a Policy without
// any configuration makes it.
func fromUser(u user.Info) (Identity, error) {
	policy, err := NewPolicy(PolicyConfig{})
	if err != nil {
		return Identity{}, err
	}
	return policy.Identity(context.Background(), u, Request{})
}

func TestUnchangedUser(t *testing.T) {
	credential := map[string][]string{user.CredentialIDKey: {"JTI=1"}}
	tests := []struct {
		name string
		in   user.DefaultInfo
		want Identity
	}{
		{"name only", user.DefaultInfo{Name: "jane"}, Identity{Name: "jane"}},
		{"everything", user.DefaultInfo{Name: "jane", UID: "1", Groups: []string{"dev"}, Extra: map[string][]string{"scopes": {"a"}}},
			Identity{Name: "jane", UID: "1", Groups: []string{"dev"}, Extra: map[string][]string{"scopes": {"a"}}}},
		{"the credential's id stays here", user.DefaultInfo{Name: "jane", Extra: credential}, Identity{Name: "jane"}},
		{"a comma does not end a group", user.DefaultInfo{Name: "jane", Groups: []string{"a,system:masters"}},
			Identity{Name: "jane", Groups: []string{"a,system:masters"}}},
		{"another case is another group", user.DefaultInfo{Name: "System:jane", Groups: []string{"SYSTEM:masters", "oidc:system:masters"}},
			Identity{Name: "System:jane", Groups: []string{"SYSTEM:masters", "oidc:system:masters"}}},
		{"names are Unicode", user.DefaultInfo{Name: "Jürgen Großmann", Groups: []string{"開発"}},
			Identity{Name: "Jürgen Großmann", Groups: []string{"開発"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := fromUser(&test.in)
			if err != nil {
				t.Fatal(err)
			}
			test.want.Requestor = &test.in
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	if len(credential) != 1 {
		t.Error("the user, which others share, was changed")
	}
}

func TestRefusedUser(t *testing.T) {
	named := func(name string) *user.DefaultInfo { return &user.DefaultInfo{Name: name} }
	grouped := func(groups ...string) *user.DefaultInfo { return &user.DefaultInfo{Name: "jane", Groups: groups} }
	extra := func(key string, values ...string) *user.DefaultInfo {
		return &user.DefaultInfo{Name: "jane", Extra: map[string][]string{key: values}}
	}
	tests := []struct {
		user *user.DefaultInfo
		kind error
		says string
	}{
		{named(""), ErrNoName, "Username claim not available in OIDC Issuer response"},

		{named("system:admin"), ErrSystem, `user name "system:admin"`},
		{named("system:"), ErrSystem, `user name "system:"`},
		{named("system:anonymous"), ErrSystem, ""},
		{named("system:node:worker-1"), ErrSystem, ""},
		{named("system:serviceaccount:kube-system:admin"), ErrSystem, "--oidc-username-prefix"},
		{grouped("dev", "system:masters"), ErrSystem, `group "system:masters"`},
		{grouped("system:authenticated"), ErrSystem, "--oidc-groups-prefix"},
		{grouped(" system:masters"), ErrValue, "white space"},
		{grouped("\tsystem:masters"), ErrValue, ""},
		{grouped("dev "), ErrValue, ""},
		{grouped("dev\r\nImpersonate-Group: system:masters"), ErrValue, "control character"},
		{grouped("dev\nx"), ErrValue, ""},
		{grouped("dev\rx"), ErrValue, ""},
		{grouped("dev\x00x"), ErrValue, ""},
		{grouped("dev\x7fx"), ErrValue, ""},
		{named("jane\n"), ErrValue, `user name "jane\n"`},
		{named(" "), ErrValue, ""},
		{&user.DefaultInfo{Name: "jane", UID: "1\x00"}, ErrValue, "uid"},
		{extra("scopes", "a\nb"), ErrValue, "extra value"},
		{extra("Scopes", "a"), ErrValue, `extra key "Scopes"`},
		{extra("", "a"), ErrValue, "extra key"},
	}
	for _, test := range tests {
		_, err := fromUser(test.user)
		forbidden := new(ForbiddenError)
		if !errors.Is(err, test.kind) || !errors.As(err, &forbidden) || !strings.Contains(forbidden.Message, test.says) {
			t.Errorf("%+v: got %v, want %v saying %q", test.user, err, test.kind, test.says)
			continue
		}
		if strings.ContainsAny(forbidden.Message, "\r\n\x00") {
			t.Errorf("%+v: the message is not one clean line: %q", test.user, forbidden.Message)
		}
	}
	if _, err := fromUser(named("system:" + strings.Repeat("x", 1<<20))); len(err.Error()) > 1000 {
		t.Errorf("the message is %d bytes long", len(err.Error()))
	}
}
