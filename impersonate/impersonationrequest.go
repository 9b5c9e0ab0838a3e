package impersonate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxRequestedValues bounds the groups and extra values of one impersonation request. Each value
// causes a review. edge caches the same number of answers, so that the next request of the same
// command causes no review.
const maxRequestedValues = maxAnswers

// An impersonationRequest is the user whom a client asks to impersonate with Impersonate-* headers,
// as kube-apiserver reads these headers.
type impersonationRequest struct {
	name, uid string
	groups    []string
	extraKeys []string // keys of extra, in the order of the headers' names
	extra     map[string][]string
}

// readImpersonationRequest reads the Impersonate-* headers that kube-apiserver reads. It returns
// nil for a request without an impersonation. It refuses all other headers whose names begin with
// "Impersonate": one server may ignore such a header, and the next server may read it as
// Impersonate-User.
func readImpersonationRequest(h http.Header) (*impersonationRequest, error) {
	var headers []string
	for name := range h {
		if isReserved(name) {
			headers = append(headers, name)
		}
	}
	if headers == nil {
		return nil, nil
	}
	slices.Sort(headers) // messages and reviews need a fixed order, and the order of a map is random
	req := new(impersonationRequest)
	for _, header := range headers {
		if err := req.read(header, h[header]); err != nil {
			return nil, err
		}
	}
	if req.name == "" {
		if req.uid != "" || len(req.groups) > 0 || req.extra != nil {
			return nil, apierrors.NewBadRequest("a group, uid or extra is requested without a user to impersonate: " +
				"send Impersonate-User too (kubectl --as)")
		}
		return nil, nil
	}
	return req, req.check()
}

func (req *impersonationRequest) read(header string, lines []string) (err error) {
	switch {
	case header == userHeader:
		req.name, err = only(header, lines)
	case header == uidHeader:
		req.uid, err = only(header, lines)
	case header == groupHeader:
		req.groups = slices.Clip(lines)
	case strings.HasPrefix(header, extraPrefix):
		if req.extra == nil {
			req.extra = make(map[string][]string)
		}
		key := decodeExtraKey(header)
		if len(lines) == 0 {
			break
		}
		if _, known := req.extra[key]; !known {
			req.extraKeys = append(req.extraKeys, key)
		}
		req.extra[key] = append(req.extra[key], lines...)
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("the request has the header %s, but only these impersonation headers exist: Impersonate-User, "+
			"Impersonate-Group, Impersonate-Uid and Impersonate-Extra-<key>", escaper.Replace(quote(header))))
	}
	return err
}

// only is the function that returns the single value of a header. It refuses a header with
// different values: kube-apiserver uses the first line, but another server may use the last line.
func only(header string, lines []string) (string, error) {
	if len(lines) == 0 {
		return "", nil
	}
	for _, line := range lines[1:] {
		if line != lines[0] {
			return "", apierrors.NewBadRequest("the request has two different values of " + header)
		}
	}
	return lines[0], nil
}

// nameOnly reports whether the request asks for a user name, and for no group, UID or extra.
func (req *impersonationRequest) nameOnly() bool {
	return req.uid == "" && len(req.groups) == 0 && len(req.extra) == 0
}

// values returns the number of requested groups and extra values.
func (req *impersonationRequest) values() int {
	count := len(req.groups)
	for _, values := range req.extra {
		count += len(values)
	}
	return count
}

// check refuses an impersonation request with a value that edge could not send unchanged, or could
// not review.
func (req *impersonationRequest) check() error {
	if count := req.values(); count > maxRequestedValues {
		return apierrors.NewBadRequest(fmt.Sprintf("edge: the request impersonates %d groups and extra values, but the limit is %d, because edge reviews each of them", count, maxRequestedValues))
	}
	if err := checkValue("user name", req.name); err != nil {
		return err
	}
	if err := checkValue("uid", req.uid); err != nil {
		return err
	}
	for _, group := range req.groups {
		if err := checkValue("group", group); err != nil {
			return err
		}
	}
	for _, key := range req.extraKeys {
		if !arrives(key) || !utf8.ValidString(key) {
			return apierrors.NewBadRequest("the extra key " + escaper.Replace(quote(key)) + " cannot be impersonated through edge: " +
				"it must be lower case, valid UTF-8 and not empty")
		}
		if isRecord(key) {
			return recordForged(key)
		}
		for _, value := range req.extra[key] {
			if err := checkValue("extra value", value); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkValue(what, value string) error {
	if intact(value) && utf8.ValidString(value) {
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the impersonated %s %s has a control character, white space at its beginning or end, or is not valid UTF-8",
		what, escaper.Replace(quote(value))))
}

// CheckHeaders returns an error with a Status if the API server would not read the Impersonate-*
// headers of a request, or if they would not arrive unchanged. It is for requests with the identity
// [TokenPassthrough], whose impersonation the API server decides.
func CheckHeaders(h http.Header) error {
	_, err := readImpersonationRequest(h)
	return err
}

// ForbidImpersonation returns a 403 if a request without a credential asks to impersonate a user.
// If the headers are invalid, it returns the error of CheckHeaders instead. It sends no review: a
// client that has not logged in causes no load on the API server.
func ForbidImpersonation(h http.Header) error {
	req, err := readImpersonationRequest(h)
	if err == nil && req != nil {
		err = &ForbiddenError{ErrDenied, "edge: a request without a credential may not impersonate"}
	}
	return err
}
