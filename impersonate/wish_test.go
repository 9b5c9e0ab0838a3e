package impersonate

import (
	"net/http"
	"testing"
)

// An empty name alone is no wish, as to an API server; what is none that it reads is refused.
func TestCheckWish(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		want   bool
	}{
		{http.Header{}, true},
		{http.Header{"Accept": {"a"}}, true},
		{http.Header{"Impersonate-User": {""}}, true},
		{http.Header{"Impersonate-User": {"bob"}}, true},
		{http.Header{"Impersonate-User": {"", "bob"}}, false},
		{http.Header{"Impersonate-User": {""}, "Impersonate-Group": {"a"}}, false},
		{http.Header{"Impersonate_user": {"bob"}}, false},
	} {
		if err := CheckWish(c.header); (err == nil) != c.want {
			t.Errorf("%v: %v", c.header, err)
		}
	}
}
