package impersonate

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

// unusable are groups that would not arrive unchanged at the API server, and the empty group, to
// which no API server grants anything.
var unusable = []string{"", " ", "\t", " dev", "dev ", "dev\t", "\tdev", "dev\n", "dev\r\nImpersonate-Group: x", "a\x00b", "a\x1bb", "a\x7fb"}

// usable are groups that look unusual, but arrive unchanged at the API server.
var usable = []string{"dev", "a b", "a\tb", "a,b", "Käufer", "\u3000dev\u3000", "\u00a0", "\u0085", `"`, "-", "SYSTEM:masters"}

// TestUnusableGroups checks that by default a user with one unusable group is refused, and that the
// message names the group. With DropUnusable, edge continues as if the user did not have the group,
// and Identity.Dropped contains the group.
func TestUnusableGroups(t *testing.T) {
	deny, drop := policy(t, PolicyConfig{}), policy(t, PolicyConfig{DropUnusable: true})
	for _, group := range unusable {
		for _, groups := range [][]string{{group}, {"dev", group}, {group, "dev"}, {"dev", group, "ops", group}} {
			u := &user.DefaultInfo{Name: "jane", UID: "7", Groups: slices.Clone(groups), Extra: map[string][]string{"team": {"blue"}}}
			_, err := deny.Identity(t.Context(), u, Request{})
			if !errors.Is(err, ErrValue) || codeOf(err) != 403 || !strings.Contains(err.Error(), "group "+quote(group)+" ") || !strings.Contains(err.Error(), "--unusable-groups=drop") {
				t.Errorf("deny %q: %v", groups, err)
			}
			id, err := drop.Identity(t.Context(), u, Request{})
			kept := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g == group })
			dropped := slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g != group })
			if err != nil || !slices.Equal(id.Groups, kept) || !slices.Equal(id.Dropped, dropped) || !slices.Equal(id.Requestor.GetGroups(), kept) {
				t.Errorf("drop %q: %+v %v", groups, id, err)
				continue
			}
			if r := id.Requestor; r.GetName() != "jane" || r.GetUID() != "7" || !reflect.DeepEqual(r.GetExtra(), u.Extra) || !slices.Equal(u.Groups, groups) {
				t.Errorf("drop %q: the requestor is %+v, the user, which others share, %+v", groups, r, u)
			}
			h := http.Header{}
			if err := Rewrite(h, id); err != nil || !slices.Equal(h["Impersonate-Group"], kept) {
				t.Errorf("drop %q: %v, sent %q", groups, err, h)
			}
		}
	}
	u := &user.DefaultInfo{Name: "jane", Groups: usable}
	for name, p := range map[string]*Policy{"deny": deny, "drop": drop} {
		id, err := p.Identity(t.Context(), u, Request{})
		if err != nil || !slices.Equal(id.Groups, usable) || id.Dropped != nil || id.Requestor != user.Info(u) {
			t.Errorf("%s: %+v %v", name, id, err)
		}
	}
}

// TestDroppedGroupHidesNothing checks that edge refuses a user for any other fault, although it
// drops the user's unusable groups. It also checks that edge drops nothing but groups.
func TestDroppedGroupHidesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		user *user.DefaultInfo
		kind error
		says string
	}{
		"a system group after it":         {&user.DefaultInfo{Name: "jane", Groups: []string{"dev ", "system:masters"}}, ErrSystem, `"system:masters"`},
		"a system group before it":        {&user.DefaultInfo{Name: "jane", Groups: []string{"system:masters", "dev "}}, ErrSystem, `"system:masters"`},
		"a system group with white space": {&user.DefaultInfo{Name: "jane", Groups: []string{"system:masters "}}, ErrSystem, `"system:masters "`},
		"white space before it":           {&user.DefaultInfo{Name: "jane", Groups: []string{" system:masters"}}, ErrSystem, `" system:masters"`},
		"many kinds of it":                {&user.DefaultInfo{Name: "jane", Groups: []string{"\t\r\n \x00\x7fsystem:masters"}}, ErrSystem, `system:masters"`},
		"a control character in it":       {&user.DefaultInfo{Name: "jane", Groups: []string{"system:nodes\x00"}}, ErrSystem, `"system:nodes\x00"`},
		"what is allowed, with a space":   {&user.DefaultInfo{Name: "jane", Groups: []string{"system:monitoring "}}, ErrSystem, `"system:monitoring "`},
		"a system user":                   {&user.DefaultInfo{Name: "system:admin", Groups: []string{""}}, ErrSystem, `"system:admin"`},
		"no user":                         {&user.DefaultInfo{Groups: []string{""}}, ErrNoName, ""},
		"a user with white space":         {&user.DefaultInfo{Name: "jane ", Groups: []string{""}}, ErrValue, `user name "jane "`},
		"a uid with white space":          {&user.DefaultInfo{Name: "jane", UID: "7 ", Groups: []string{""}}, ErrValue, `uid has`},
		"an extra":                        {&user.DefaultInfo{Name: "jane", Groups: []string{""}, Extra: map[string][]string{"team": {"blue "}}}, ErrValue, `extra value of key "team"`},
		"a forged record":                 {&user.DefaultInfo{Name: "jane", Groups: []string{""}, Extra: map[string][]string{recordPrefix + "user": {"bob"}}}, ErrRecord, ""},
		"nobody with such a group":        {&user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated, ""}}, ErrSystem, ""},
	} {
		ask := &asker{allow: true}
		p := policy(t, PolicyConfig{Ask: ask, DropUnusable: true, AllowSystem: []string{"system:monitoring"}})
		for _, h := range []http.Header{nil, {"Impersonate-User": {"bob"}}} {
			id, err := p.Identity(t.Context(), test.user, Request{Header: h, Anonymous: test.user.Name == user.Anonymous})
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) || !reflect.DeepEqual(id, Identity{}) || len(ask.asked) != 0 {
				t.Errorf("%s: %v %+v, %d reviews", name, err, id, len(ask.asked))
			}
		}
	}
	// Groups that a client asks to impersonate do not come from the issuer, and are never dropped.
	ask := &asker{allow: true}
	p := policy(t, PolicyConfig{Ask: ask, DropUnusable: true})
	if _, err := p.Identity(t.Context(), janeUser, Request{Header: http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": {"dev "}}}); codeOf(err) != 400 || len(ask.asked) != 0 {
		t.Errorf("a requested group: %v", err)
	}
}

// TestDroppedGroupsOfAnImpersonation checks that reviews and the record of an impersonation contain
// the requestor without the dropped groups, as the API server would see the requestor.
func TestDroppedGroupsOfAnImpersonation(t *testing.T) {
	ask := &asker{allow: true}
	u := &user.DefaultInfo{Name: "jane", Groups: []string{"dev", "night shift ", "", "ops"}}
	id, err := policy(t, PolicyConfig{Ask: ask, DropUnusable: true}).Identity(t.Context(), u, Request{Header: http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": {""}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dev", "ops"}
	if !slices.Equal(id.Dropped, []string{"night shift ", ""}) || !slices.Equal(id.Requestor.GetGroups(), want) || !slices.Equal(id.Extra[recordPrefix+"groups"], want) {
		t.Errorf("%+v", id)
	}
	if !slices.Equal(id.Groups, []string{""}) { // edge passes the empty group on: the API server decides about it
		t.Errorf("requested: %q", id.Groups)
	}
	if err := Rewrite(http.Header{}, id); err != nil {
		t.Error(err)
	}
	if len(ask.asked) != 2 || slices.ContainsFunc(ask.asked, func(spec authorizationv1.SubjectAccessReviewSpec) bool {
		return !slices.Equal(spec.Groups, append(slices.Clone(want), user.AllAuthenticated))
	}) {
		t.Errorf("asked %+v", ask.asked)
	}
}

// TestRefusedIdentityIsNamed checks that the message about each refused identity names the bad part
// and a remedy, on one line of bounded length.
func TestRefusedIdentityIsNamed(t *testing.T) {
	p := policy(t, PolicyConfig{})
	for _, test := range []struct {
		user       *user.DefaultInfo
		name, help string
	}{
		{&user.DefaultInfo{Name: "jane "}, `user name "jane "`, "configure the issuer to send another name"},
		{&user.DefaultInfo{Name: "jane\n"}, `user name "jane\n"`, "configure the issuer to send another name"},
		{&user.DefaultInfo{Name: "system:jane"}, `user name "system:jane"`, "--oidc-username-prefix"},
		{&user.DefaultInfo{Name: "jane", UID: "\x00"}, `uid has`, "configure the issuer to send another one"},
		{&user.DefaultInfo{Name: "jane", Groups: []string{"dev", "night shift "}}, `group "night shift "`, "--unusable-groups=drop"},
		{&user.DefaultInfo{Name: "jane", Groups: []string{"dev", ""}}, `group ""`, "--unusable-groups=drop"},
		{&user.DefaultInfo{Name: "jane", Groups: []string{"dev", "system:masters"}}, `group "system:masters"`, "--oidc-groups-prefix"},
		{&user.DefaultInfo{Name: "jane", Extra: map[string][]string{"team": {"blue", "red\n"}}}, `extra value of key "team"`, "configure the issuer to send another one"},
		{&user.DefaultInfo{Name: "jane", Extra: map[string][]string{"Team": {"blue"}}}, `extra key "Team"`, "it must be lower case"},
		{&user.DefaultInfo{Name: strings.Repeat("\u202e", 1<<16) + "\n"}, `user name "\u202e`, "configure the issuer to send another name"},
		{&user.DefaultInfo{Name: "jane", Groups: []string{strings.Repeat("\U000e0041", 1<<16) + " "}}, `group "\U000e0041`, "--unusable-groups=drop"},
	} {
		_, err := p.Identity(t.Context(), test.user, Request{})
		forbidden := new(ForbiddenError)
		if !errors.As(err, &forbidden) || codeOf(err) != 403 {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if said := forbidden.Message; !strings.HasPrefix(said, test.name) || !strings.Contains(said, test.help) || len(said) > 2000 || strings.ContainsAny(said, "\n\x00\u202e") {
			t.Errorf("%s, %s: %s", test.name, test.help, said)
		}
	}
}
