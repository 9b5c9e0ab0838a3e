package impersonate

import (
	"errors"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// TestCheckHeaders checks which Impersonate-* headers are refused: all that an API server does not
// read. An empty user name alone is no impersonation, as for an API server.
func TestCheckHeaders(t *testing.T) {
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
		if err := CheckHeaders(c.header); (err == nil) != c.want {
			t.Errorf("%v: %v", c.header, err)
		}
	}
}

// TestForbidImpersonation checks that a request without a credential is answered with 403 if it
// asks to impersonate, and with 400 if its Impersonate-* headers are invalid.
func TestForbidImpersonation(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		code   int32
	}{
		{http.Header{"Accept": {"a"}}, 0},
		{http.Header{"Impersonate-User": {""}}, 0},
		{http.Header{"Impersonate-User": {"bob"}}, http.StatusForbidden},
		{http.Header{"Impersonate-User": {"system:anonymous"}}, http.StatusForbidden},
		{http.Header{"Impersonate-Group": {"a"}}, http.StatusBadRequest},
		{http.Header{"Impersonate_user": {"bob"}}, http.StatusBadRequest},
	} {
		err := ForbidImpersonation(c.header)
		var known apierrors.APIStatus
		if (err == nil) != (c.code == 0) || err != nil && (!errors.As(err, &known) || known.Status().Code != c.code) {
			t.Errorf("%v: %v, want %d", c.header, err, c.code)
		}
	}
}
