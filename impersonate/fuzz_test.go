package impersonate

import (
	"context"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
)

// FuzzRewrite checks that the header that edge sends upstream contains exactly edge's identity
// headers, and no credential, whatever header the client sends.
func FuzzRewrite(f *testing.F) {
	f.Add("Accept: */*\nImpersonate-User: root")
	f.Add("Connection: Impersonate-User, Impersonate-Group\nimpersonate_group: system:masters\nAuthorization: Bearer t")
	f.Add("Te: trailers\nConnection: ,, ,Te\nUpgrade: websocket\nIMPERSONATE-EXTRA-%2F: x")
	f.Add("Connection: Impersonate-Extra-Example.com%2fteam\nauthorization: x")
	identity := janeOnly(nil)
	f.Fuzz(func(t *testing.T, lines string) {
		h := http.Header{}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, ":")
			if len(name)%2 == 0 {
				name = textproto.CanonicalMIMEHeaderKey(name) // as net/http does; names of odd length stay as the fuzzer wrote them
			}
			h[name] = append(h[name], strings.TrimSpace(value))
		}
		before := h.Clone()
		if err := Rewrite(h, jane); err != nil {
			t.Fatal(err)
		}
		for name, values := range h {
			lower := strings.ToLower(name)
			switch {
			case lower == "authorization", lower == "connection" && name == "Connection", name == "Upgrade":
				t.Errorf("%q goes upstream", name)
			case strings.HasPrefix(lower, "impersonate"):
				if !reflect.DeepEqual(values, identity[name]) {
					t.Errorf("%q: %q goes upstream", name, values)
				}
			case name == "Te":
				if !reflect.DeepEqual(values, []string{"trailers"}) {
					t.Errorf("Te: %q", values)
				}
			case !reflect.DeepEqual(values, before[name]):
				t.Errorf("%q became %q", before[name], values)
			}
		}
		for name, values := range identity {
			if !reflect.DeepEqual(h[name], values) {
				t.Errorf("%q is %q upstream, not %q", name, h[name], values)
			}
		}
	})
}

// FuzzImpersonation checks any Impersonate-* headers of a client. Either edge refuses the headers,
// or neither edge nor the API server sees an impersonation in them, or both read the same user from
// them.
func FuzzImpersonation(f *testing.F) {
	f.Add("Impersonate-User: bob\nImpersonate-Group: a\nImpersonate-Group:")
	f.Add("Impersonate-User: system:serviceaccount:ns:sa\nImpersonate-Extra-Example.com%2fteam: blue\nImpersonate-Extra-Example.com%2Fteam: x")
	f.Add("Impersonate-User:\nImpersonate-Uid: 1\nimpersonate-extra-%zz: v\nImpersonate-Extra-%41: w\nImpersonate_User: y")
	asks := policy(f, PolicyConfig{Ask: yesToAll{}})
	var who user.Info
	through := plainFilter(tell(&who), authorizerfactory.NewAlwaysAllowAuthorizer())
	edge := &user.DefaultInfo{Name: "edge"}
	f.Fuzz(func(t *testing.T, lines string) {
		h := http.Header{}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, ":")
			h.Add(name, strings.TrimSpace(value))
		}
		id, err := asks.Identity(context.Background(), edge, Request{Header: h})
		if err != nil {
			if code := codeOf(err); code != 400 && code != 403 {
				t.Fatal(err)
			}
			return
		}
		a := &arrival{requestor: edge, header: h, request: must(http.NewRequest(http.MethodGet, "https://edge.example/version", nil)), info: version}
		if status := a.at(through, &who, edge); who == nil {
			t.Fatalf("edge takes %q for %+v, the API server says %+v", h, id, status)
		}
		if id.Nested != (who != user.Info(edge)) {
			t.Fatalf("%q: an impersonation to one only: %+v", h, id)
		}
		if id.Nested {
			checkSameUser(t, a, id, who)
		}
	})
}

type yesToAll struct{}

func (yesToAll) Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	return true, "", nil
}
