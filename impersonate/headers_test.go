package impersonate

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"testing"
)

var jane = Identity{
	Name:   "https://issuer.example#jane",
	UID:    "0815",
	Groups: []string{"dev", "a,system:masters", "Käufer"},
	Extra:  map[string][]string{"example.com/team": {"blue", "green"}},
}

// janeOnly returns the header that edge sends upstream for the user jane, with other headers added.
func janeOnly(and http.Header) http.Header {
	h := http.Header{
		"Impersonate-User":                     {"https://issuer.example#jane"},
		"Impersonate-Uid":                      {"0815"},
		"Impersonate-Group":                    {"dev", "a,system:masters", "Käufer"},
		"Impersonate-Extra-Example.com%2fteam": {"blue", "green"},
	}
	maps.Copy(h, and)
	return h
}

func TestRewrite(t *testing.T) {
	tests := []struct {
		name string
		in   http.Header
		want http.Header // expected headers upstream, in addition to the headers of the identity
	}{
		{"nothing", http.Header{}, nil},
		{"a plain request stays as it is", http.Header{
			"Accept":       {"application/json;as=Table", "application/json"},
			"User-Agent":   {"kubectl/v1.35.0"},
			"Content-Type": {"application/json"},
		}, http.Header{
			"Accept":       {"application/json;as=Table", "application/json"},
			"User-Agent":   {"kubectl/v1.35.0"},
			"Content-Type": {"application/json"},
		}},
		{"the client's credential", http.Header{"Authorization": {"Bearer t", "Basic b"}, "authorization": {"Bearer u"}}, nil},
		{"forged identity, in any spelling", http.Header{
			"Impersonate-User":             {"root"},
			"Impersonate-Group":            {"system:masters"},
			"Impersonate-Uid":              {"0"},
			"Impersonate-Extra-Scopes":     {"all"},
			"impersonate-group":            {"system:masters"},
			"IMPERSONATE-USER":             {"root"},
			"Impersonate_user":             {"root"},
			"Impersonate":                  {"x"},
			"Impersonated-By":              {"x"},
			"Impersonate-Extra-":           {"x"},
			"Impersonate-Something-Future": {"x"},
		}, nil},
		{"forged identity, named in Connection", http.Header{
			"Connection":        {"Impersonate-User, impersonate-group", "close"},
			"Impersonate-User":  {"root"},
			"Impersonate-Group": {"system:masters"},
		}, nil},
		{"identity headers that are only named", http.Header{
			"Connection": {"Impersonate-User", "Impersonate-Group,Impersonate-Uid , ,Impersonate-Extra-Example.com%2fteam", "Authorization"},
		}, nil},
		{"a WebSocket upgrade", http.Header{
			"Connection":             {"Upgrade"},
			"Upgrade":                {"websocket"},
			"Sec-Websocket-Protocol": {"v5.channel.k8s.io"},
			"Sec-Websocket-Key":      {"AAAAAAAAAAAAAAAAAAAAAA=="},
			"Authorization":          {"Bearer t"},
		}, http.Header{
			"Sec-Websocket-Protocol": {"v5.channel.k8s.io"},
			"Sec-Websocket-Key":      {"AAAAAAAAAAAAAAAAAAAAAA=="},
		}},
		{"an SPDY upgrade", http.Header{
			"Connection":                {"Upgrade"},
			"Upgrade":                   {"SPDY/3.1"},
			"X-Stream-Protocol-Version": {"v4.channel.k8s.io", "v3.channel.k8s.io"},
		}, http.Header{
			"X-Stream-Protocol-Version": {"v4.channel.k8s.io", "v3.channel.k8s.io"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := Rewrite(test.in, jane); err != nil {
				t.Fatal(err)
			}
			if want := janeOnly(test.want); !reflect.DeepEqual(test.in, want) {
				t.Errorf("upstream header\n got %q\nwant %q", test.in, want)
			}
		})
	}
}

// TestRewriteNameOnly checks that empty parts of an identity add no header, not even an empty line.
func TestRewriteNameOnly(t *testing.T) {
	h := http.Header{"Accept": {"*/*"}}
	if err := Rewrite(h, Identity{Name: "jane", Extra: map[string][]string{"empty": {}}}); err != nil {
		t.Fatal(err)
	}
	if want := (http.Header{"Accept": {"*/*"}, "Impersonate-User": {"jane"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("got %q, want %q", h, want)
	}
}

// TestRewriteRefusesBrokenIdentity checks that Rewrite returns an error for an identity that no
// Policy made, and removes forged headers even then.
func TestRewriteRefusesBrokenIdentity(t *testing.T) {
	for _, id := range []Identity{
		{},
		{Groups: []string{"dev"}, UID: "1"},
		{Name: "jane\r\nImpersonate-Group: system:masters"},
		{Name: "jane", Groups: []string{" system:masters"}},
		{Name: "jane", Extra: map[string][]string{"Scopes": {"all"}}},
	} {
		h := http.Header{"Impersonate-User": {"root"}, "Authorization": {"Bearer t"}}
		err := Rewrite(h, id)
		if forbidden := new(ForbiddenError); !errors.As(err, &forbidden) {
			t.Errorf("Rewrite with %+v: %v", id, err)
		}
		if len(h) != 0 {
			t.Errorf("Rewrite with %+v left %q", id, h)
		}
	}
}

// TestRewriteDoesNotShareGrowth checks that a line added to one request's header does not change
// the slices of the identity, which all requests of a user share.
func TestRewriteDoesNotShareGrowth(t *testing.T) {
	groups := append(make([]string, 0, 4), "dev")
	h := http.Header{}
	if err := Rewrite(h, Identity{Name: "jane", Groups: groups}); err != nil {
		t.Fatal(err)
	}
	h.Add("Impersonate-Group", "other")
	if got := groups[:2][1]; got != "" {
		t.Errorf("a line added to one request's header is in the identity's memory: %q", got)
	}
}

func TestRewriteAllocations(t *testing.T) {
	id := Identity{Name: "jane", Groups: []string{"dev", "ops"}}
	h := http.Header{"Accept": {"*/*"}, "User-Agent": {"kubectl"}, "Connection": {"close"}}
	if n := testing.AllocsPerRun(100, func() {
		if err := Rewrite(h, id); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations, want the one for the name's line", n)
	}
}

func BenchmarkRewrite(b *testing.B) {
	id := Identity{Name: "https://issuer.example#jane", Groups: []string{"dev", "ops", "https://issuer.example/groups/1"}}
	h := http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"kubectl/v1.35.0"}, "Kubectl-Command": {"kubectl get"},
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Rewrite(h, id); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEdgeItself checks that a request with the identity EdgeItself keeps its Impersonate-*
// headers, even if Connection names them. No header with the client's credential may be sent
// upstream.
func TestEdgeItself(t *testing.T) {
	h := http.Header{
		"Authorization": {"Bearer local"}, "Connection": {"Impersonate-User, X-Hop"}, "X-Hop": {"1"}, "Accept": {"*/*"},
		"Impersonate-User": {"jane"}, "Impersonate-Group": {"dev", "ops"}, "Impersonate-Extra-Team": {"a"}, "Upgrade": {"SPDY/3.1"},
	}
	if err := Rewrite(h, EdgeItself()); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Accept": {"*/*"}, "Impersonate-User": {"jane"}, "Impersonate-Group": {"dev", "ops"}, "Impersonate-Extra-Team": {"a"},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got %q, want %q", h, want)
	}
	if !EdgeItself().IsEdgeItself() || (Identity{}).IsEdgeItself() {
		t.Error("the zero identity must not be edge itself")
	}
	if err := Rewrite(http.Header{}, Identity{}); err == nil {
		t.Error("an identity without a name went upstream")
	}
}
