package impersonate

import (
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

// FuzzRewrite: whatever a client sends, what goes upstream holds our identity, whole, and no other, and no credential.
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
				name = textproto.CanonicalMIMEHeaderKey(name) // as net/http does; the others stay raw
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
