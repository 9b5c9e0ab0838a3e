package impersonate

import (
	"net/http"
	"testing"
)

// An empty name alone is no wish, as to an API server; what is refused is one, so that it is.
func TestIsWish(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		want   bool
	}{
		{http.Header{}, false},
		{http.Header{"Accept": {"a"}}, false},
		{http.Header{"Impersonate-User": {""}}, false},
		{http.Header{"Impersonate-User": {"", ""}}, false},
		{http.Header{"Impersonate-User": {"bob"}}, true},
		{http.Header{"Impersonate-User": {"", "bob"}}, true},
		{http.Header{"Impersonate-User": {""}, "Impersonate-Group": {"a"}}, true},
		{http.Header{"Impersonate_user": {"bob"}}, true},
	} {
		if got := IsWish(c.header); got != c.want {
			t.Errorf("%v: %v", c.header, got)
		}
	}
}
