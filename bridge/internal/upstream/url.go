package upstream

import (
	"net/url"
	"strings"
)

// URL returns the URL at the API server for the client's URL u.
func (up *Cluster) URL(u *url.URL) *url.URL {
	out := *u
	out.Scheme, out.Host, out.User, out.Fragment = up.base.Scheme, up.base.Host, nil, ""
	if prefix := up.prefix(); prefix.Path != "" {
		out.Path = prefix.Path + u.Path
		if u.RawPath != "" {
			out.RawPath = prefix.EscapedPath() + u.RawPath
		}
	}
	return &out
}

// prefix returns the path of the API server's URL, without a slash at the end.
func (up *Cluster) prefix() *url.URL { return &url.URL{Path: strings.TrimSuffix(up.base.Path, "/")} }
