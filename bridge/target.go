package bridge

import (
	"net/url"
	"path"
	"strings"

	"edge/streams/spdy"
)

// target is the pod subresource that a stream request names. The zero target is
// every other request.
type target struct {
	verb      string // exec, attach or portforward
	namespace string
	pod       string
}

const (
	verbExec        = "exec"
	verbAttach      = "attach"
	verbPortForward = "portforward"
)

func (t target) isStream() bool   { return t.verb != "" }
func (t target) isTerminal() bool { return t.verb == verbExec || t.verb == verbAttach }

// parseTarget recognises /api/v1/namespaces/{ns}/pods/{pod}/{verb}, in exactly
// this form: no escape, no empty and no dot segment. See disguised.
func parseTarget(u *url.URL) target { return targetOf(u.EscapedPath()) }

// disguised tells whether a path is no target as it is written, but would be one
// to a server that decodes or cleans it first. There must not be two ways to
// read a path on which an upgrade begins.
func disguised(u *url.URL) bool {
	return !parseTarget(u).isStream() && targetOf(path.Clean(u.Path)).isStream()
}

// checkPath refuses what two servers could read in two ways: a request line
// without a path of its own (net/url's Opaque), and dot segments, which some
// server behind a path prefix might walk up.
func checkPath(u *url.URL) error {
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return badRequest("the request has no path")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return badRequest("the path has a dot segment")
		}
	}
	return nil
}

func targetOf(path string) target {
	if strings.Contains(path, "%") {
		return target{}
	}
	rest, ok := strings.CutPrefix(path, "/api/v1/namespaces/")
	if !ok {
		return target{}
	}
	part := strings.Split(rest, "/")
	if len(part) != 4 || part[1] != "pods" || !isName(part[0]) || !isName(part[2]) {
		return target{}
	}
	switch part[3] {
	case verbExec, verbAttach, verbPortForward:
		return target{verb: part[3], namespace: part[0], pod: part[2]}
	}
	return target{}
}

func isName(s string) bool { return s != "" && s != "." && s != ".." }

// streamSet derives the streams of an exec or attach from its query, with the
// API server's reading of booleans (Convert_Slice_string_To_bool). A terminal
// has no stderr and has sizes.
func streamSet(q url.Values) spdy.Set {
	tty := queryBool(q, "tty")
	return spdy.Set{
		Stdin:    queryBool(q, "stdin"),
		Stdout:   queryBool(q, "stdout"),
		Stderr:   queryBool(q, "stderr") && !tty,
		Terminal: tty,
	}
}

func queryBool(q url.Values, key string) bool {
	v, ok := q[key]
	return ok && len(v) > 0 && v[0] != "0" && !strings.EqualFold(v[0], "false")
}
