package bridge

import (
	"net/http"
	"net/netip"
	"testing"
)

// TestForwardedFor checks that edge takes the rightmost address in X-Forwarded-For which is not a
// trusted proxy for the client, and ignores every address left of it.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	trusted := trustedProxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer string
		said []string
		want string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"203.0.113.9:1", []string{"1.2.3.4"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"1.2.3.4"}, "1.2.3.4, 10.0.0.1"},
		{"10.0.0.1:1", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4, 10.0.0.1"},
		{"10.0.0.1:1", []string{"6.6.6.6", "1.2.3.4"}, "1.2.3.4, 10.0.0.1"},
		{"10.0.0.1:1", []string{"6.6.6.6, 1.2.3.4, 10.0.0.2"}, "1.2.3.4, 10.0.0.2, 10.0.0.1"},
		{"10.0.0.1:1", []string{"10.0.0.3"}, "10.0.0.3, 10.0.0.1"},
		{"10.0.0.1:1", []string{"1.2.3.4:5678"}, "1.2.3.4, 10.0.0.1"},
		{"10.0.0.1:1", []string{"::ffff:1.2.3.4, [::ffff:10.0.0.2]:80"}, "1.2.3.4, 10.0.0.2, 10.0.0.1"},
		{"[fd00::1]:1", []string{"[2001:db8::1]:5678"}, "2001:db8::1, fd00::1"},
		{"[fd00::1]:1", []string{"[2001:db8::1]"}, "2001:db8::1, fd00::1"},
		{"[::ffff:10.0.0.1]:1", []string{"1.2.3.4"}, "1.2.3.4, ::ffff:10.0.0.1"},
		{"10.0.0.1:1", []string{"1.2.3.4, unknown"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"6.6.6.6,,10.0.0.2"}, "10.0.0.2, 10.0.0.1"},
		{"10.0.0.1:1", []string{"evil\r\nX: y"}, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{
			"X-Remote-User": {"admin"}, "X_forwarded_for": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"},
		}}
		if c.said != nil {
			r.Header["X-Forwarded-For"] = c.said
		}
		trusted.setForwardedFor(r)
		if got := r.Header.Get("X-Forwarded-For"); got != c.want || len(r.Header) != 1 {
			t.Errorf("from %s with X-Forwarded-For %q: %q, want %q; header %v", c.peer, c.said, got, c.want, r.Header)
		}
	}
}

// TestForwardedForIsBounded checks that edge reads at most maxHops addresses of X-Forwarded-For,
// however long the header is.
func TestForwardedForIsBounded(t *testing.T) {
	t.Parallel()
	said := make([]string, 100_000)
	for i := range said {
		said[i] = "10.0.0.2"
	}
	trusted := trustedProxies{netip.MustParsePrefix("10.0.0.0/8")}
	if got, most := len(trusted.forwardedPath("10.0.0.1", said)), maxHops*len("10.0.0.2, "); got > most {
		t.Errorf("%d bytes, want at most %d", got, most)
	}
}
