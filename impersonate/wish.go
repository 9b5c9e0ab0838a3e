package impersonate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxWished bounds the groups and extra values of one wish. Each is a review, and so many answers are remembered: the next
// request of the same command asks for none again.
const maxWished = maxAnswers

// wish is whom a request's Impersonate-* headers name, as kube-apiserver reads them.
type wish struct {
	name, uid string
	groups    []string
	extraKeys []string // in the order of their headers' names
	extra     map[string][]string
}

// readWish returns nil for a request that wishes to be nobody else. It takes the headers that kube-apiserver reads and refuses
// all others that begin like them: what one server ignores, the next may take for the real header.
func readWish(h http.Header) (*wish, error) {
	var headers []string
	for name := range h {
		if isReserved(name) {
			headers = append(headers, name)
		}
	}
	if headers == nil {
		return nil, nil
	}
	slices.Sort(headers) // a map has no order, and messages and reviews need one
	w := new(wish)
	for _, header := range headers {
		if err := w.read(header, h[header]); err != nil {
			return nil, err
		}
	}
	if w.name == "" {
		if w.uid != "" || len(w.groups) > 0 || w.extra != nil {
			return nil, apierrors.NewBadRequest("a group, uid or extra is requested without a user to impersonate: " +
				"send Impersonate-User too (kubectl --as)")
		}
		return nil, nil
	}
	return w, w.check()
}

func (w *wish) read(header string, lines []string) (err error) {
	switch {
	case header == userHeader:
		w.name, err = only(header, lines)
	case header == uidHeader:
		w.uid, err = only(header, lines)
	case header == groupHeader:
		w.groups = slices.Clip(lines)
	case strings.HasPrefix(header, extraPrefix):
		if w.extra == nil {
			w.extra = make(map[string][]string)
		}
		key := decodeExtraKey(header)
		if len(lines) == 0 {
			break
		}
		if _, known := w.extra[key]; !known {
			w.extraKeys = append(w.extraKeys, key)
		}
		w.extra[key] = append(w.extra[key], lines...)
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("the request has the header %s, which is none of Impersonate-User, "+
			"Impersonate-Group, Impersonate-Uid and Impersonate-Extra-<key>", escaper.Replace(quote(header))))
	}
	return err
}

// only returns the one value of a header. kube-apiserver takes the first line; another server may take the last.
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

// values is how many groups and extra values are wished for.
func (w *wish) values() int {
	count := len(w.groups)
	for _, values := range w.extra {
		count += len(values)
	}
	return count
}

// check refuses what edge could not send on as it is, or not ask about.
func (w *wish) check() error {
	if count := w.values(); count > maxWished {
		return apierrors.NewBadRequest(fmt.Sprintf("edge: the request impersonates %d groups and extra values, and may %d at most, since each is reviewed", count, maxWished))
	}
	if err := wished("user name", w.name); err != nil {
		return err
	}
	if err := wished("uid", w.uid); err != nil {
		return err
	}
	for _, group := range w.groups {
		if err := wished("group", group); err != nil {
			return err
		}
	}
	for _, key := range w.extraKeys {
		if !arrives(key) || !utf8.ValidString(key) {
			return apierrors.NewBadRequest("the extra key " + escaper.Replace(quote(key)) + " cannot be impersonated through edge: " +
				"it must be lower case, valid UTF-8 and not empty")
		}
		if isRecord(key) {
			return recordForged(key)
		}
		for _, value := range w.extra[key] {
			if err := wished("extra value", value); err != nil {
				return err
			}
		}
	}
	return nil
}

func wished(what, value string) error {
	if intact(value) && utf8.ValidString(value) {
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the impersonated %s %s has a control character, white space around it, or is not valid UTF-8",
		what, escaper.Replace(quote(value))))
}

// CheckWish is an error with a Status if the Impersonate-* headers of a request are none that an API server reads, or would
// not arrive as they are: for requests that go upstream as [Own], whose wish the API server decides.
func CheckWish(h http.Header) error {
	_, err := readWish(h)
	return err
}

// ForbidWish is a 403 for a request that came without a credential and names whom it wishes to be. CheckWish's errors come first.
// Nobody is asked: whoever has not logged in costs the API server no review.
func ForbidWish(h http.Header) error {
	w, err := readWish(h)
	if err == nil && w != nil {
		err = &ForbiddenError{ErrDenied, "edge: a request without a credential may not impersonate"}
	}
	return err
}
