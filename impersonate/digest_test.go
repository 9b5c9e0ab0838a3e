package impersonate

import (
	"net/http"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
)

// TestDigest checks that identities with any difference have different digests, and that the digest
// of an identity is always the same.
func TestDigest(t *testing.T) {
	asked := func(u *user.DefaultInfo) Identity { return Identity{Name: "jane", Requestor: u} }
	as := func(header ...string) Identity {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return TokenPassthrough("token", &user.DefaultInfo{Name: "jane"}, h)
	}
	all := map[string]func() Identity{
		"nobody":                  func() Identity { return Identity{} },
		"edge itself":             EdgeItself,
		"a name":                  func() Identity { return Identity{Name: "jane"} },
		"a name that is another":  func() Identity { return Identity{Name: "janet"} },
		"nested":                  func() Identity { return Identity{Name: "jane", Nested: true} },
		"a uid":                   func() Identity { return Identity{Name: "jane", UID: "1"} },
		"a name with its uid":     func() Identity { return Identity{Name: "jane1"} },
		"a group":                 func() Identity { return Identity{Name: "jane", Groups: []string{"a,b"}} },
		"two groups":              func() Identity { return Identity{Name: "jane", Groups: []string{"a", "b"}} },
		"two groups, other way":   func() Identity { return Identity{Name: "jane", Groups: []string{"ab", ""}} },
		"an extra":                func() Identity { return Identity{Name: "jane", Extra: map[string][]string{"a": {"b", "c"}}} },
		"two extras":              func() Identity { return Identity{Name: "jane", Extra: map[string][]string{"a": {"b"}, "c": {}}} },
		"an extra without values": func() Identity { return Identity{Name: "jane", Extra: map[string][]string{"a": nil}} },
		"a requestor":             func() Identity { return asked(&user.DefaultInfo{}) },
		"its name":                func() Identity { return asked(&user.DefaultInfo{Name: "ann"}) },
		"its uid":                 func() Identity { return asked(&user.DefaultInfo{Name: "ann", UID: "1"}) },
		"its group":               func() Identity { return asked(&user.DefaultInfo{Name: "ann", Groups: []string{"1"}}) },
		"its extra":               func() Identity { return asked(&user.DefaultInfo{Name: "ann", Extra: map[string][]string{"1": {"2"}}}) },
		"a passed token":          func() Identity { return as() },
		"another token":           func() Identity { return TokenPassthrough("token2", &user.DefaultInfo{Name: "jane"}, http.Header{}) },
		"whom it names":           func() Identity { return as("Impersonate-User", "bob") },
		"and a group":             func() Identity { return as("Impersonate-User", "bob", "Impersonate-Group", "a") },
		"and two groups": func() Identity {
			return as("Impersonate-User", "bob", "Impersonate-Group", "a", "Impersonate-Group", "b")
		},
	}
	seen := map[[32]byte]string{}
	for name, identity := range all {
		sum := identity().Digest()
		if other, ok := seen[sum]; ok {
			t.Errorf("%q and %q have the same digest", name, other)
		}
		seen[sum] = name
		if identity().Digest() != sum {
			t.Errorf("%q has another digest the second time", name)
		}
	}
	many := Identity{Name: "jane", Extra: map[string][]string{"a": {"1"}, "b": {"2"}, "c": {"3"}, "d": {"4"}}}
	for range 32 { // repeat, because the order of a map is random
		if first, second := many.Digest(), many.Digest(); first != second {
			t.Fatal("the digest goes by the order of a map")
		}
	}
}
