package impersonate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

var hopByHopCases = []struct {
	name     string
	in, want http.Header
}{
	{"nothing", http.Header{}, http.Header{}},
	{"the fixed set", http.Header{
		"Connection": {"close"}, "Proxy-Connection": {"close"}, "Keep-Alive": {"timeout=5"}, "Proxy-Authenticate": {"Basic"},
		"Proxy-Authorization": {"Basic eA=="}, "Te": {"gzip"}, "Trailer": {"X-Sum"}, "Transfer-Encoding": {"chunked"},
		"Upgrade": {"h2c"}, "Accept": {"*/*"},
	}, http.Header{"Accept": {"*/*"}}},
	{"a list", http.Header{"Connection": {"X-One,X-Two"}, "X-One": {"1"}, "X-Two": {"2"}, "X-Three": {"3"}}, http.Header{"X-Three": {"3"}}},
	{"many lines", http.Header{"Connection": {"X-One", "", "x-two"}, "X-One": {"1"}, "X-Two": {"2", "2"}, "X-Three": {"3"}}, http.Header{"X-Three": {"3"}}},
	{"spaces and empty items", http.Header{"Connection": {" ,, X-One\t,\t ,X-Two ", ","}, "X-One": {"1"}, "X-Two": {"2"}}, http.Header{}},
	{"any case", http.Header{"Connection": {"x-ONE"}, "X-One": {"1"}}, http.Header{}},
	{"a header named that is not there", http.Header{"Connection": {"X-One"}, "Accept": {"*/*"}}, http.Header{"Accept": {"*/*"}}},
	{"trailers stay", http.Header{"Te": {"gzip, Trailers"}, "Connection": {"TE"}}, http.Header{"Te": {"trailers"}}},
	{"Connection names itself", http.Header{"Connection": {"Connection, X-One"}, "X-One": {"1"}}, http.Header{}},
	{"an underscore is another name", http.Header{"Connection": {"X_One"}, "X-One": {"1"}}, http.Header{"X-One": {"1"}}},
}

func TestStripHopByHop(t *testing.T) {
	for _, test := range hopByHopCases {
		t.Run(test.name, func(t *testing.T) {
			got := test.in.Clone()
			StripHopByHop(got)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestStripHopByHopAsReverseProxy checks that StripHopByHop removes the same headers as net/http's
// own reverse proxy.
func TestStripHopByHopAsReverseProxy(t *testing.T) {
	var sent http.Header
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "upstream.example"}) },
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Header
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		}),
	}
	for _, test := range hopByHopCases {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://edge.example/", nil)
			r.Header = test.in.Clone()
			r.Header.Set("User-Agent", "test") // ReverseProxy adds an empty User-Agent if it is missing
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			got := test.in.Clone()
			got.Set("User-Agent", "test")
			StripHopByHop(got)
			if !reflect.DeepEqual(got, sent) {
				t.Errorf("got %q, the reverse proxy sends %q", got, sent)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestHopByHop (row HopByHop of the attack corpus in docs/security.md) checks that edge's identity
// headers are complete upstream, whatever headers a client names in Connection.
func TestHopByHop(t *testing.T) {
	for _, connection := range [][]string{
		{"Impersonate-User"},
		{"impersonate-user,IMPERSONATE-GROUP, Impersonate-Uid"},
		{"Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Example.com%2fteam", "Authorization"},
		{" ,Impersonate-User ,,\tImpersonate-Group\t", "", ","},
		{"close, Impersonate-User", "Upgrade, Impersonate-Group"},
	} {
		h := http.Header{"Connection": connection, "Upgrade": {"websocket"}}
		if err := Rewrite(h, jane); err != nil {
			t.Fatal(err)
		}
		if want := janeOnly(nil); !reflect.DeepEqual(h, want) {
			t.Errorf("Connection: %q\n got %q\nwant %q", connection, h, want)
		}
	}
}
