package impersonate

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apiserver/pkg/authentication/user"
)

// systemPrefix begins the names and groups that Kubernetes keeps for itself.
const systemPrefix = "system:"

// Identity is whom a request is sent as. It is made by [Policy.Identity], [Own] or [Self] and, once it is
// handed on, not changed.
type Identity struct {
	Name   string
	UID    string
	Groups []string // without system:authenticated, which the API server adds
	Extra  map[string][]string

	// Requestor is who authenticated, for the log; nil where nobody did.
	Requestor user.Info
	// Bearer: a bearer token has authenticated the request, which no browser adds by itself. Otherwise the credential is ambient (a
	// client certificate, a cookie, or none), and a page on another site may have made its visitor's browser send the request.
	Bearer bool
	// Nested: by its own wish the request goes upstream as somebody else than the requestor.
	Nested bool
	// Dropped are the requestor's groups that went nowhere, see [PolicyConfig].DropUnusable. Requestor has them no more.
	Dropped []string

	self bool
	own  string      // the requestor's bearer token, which goes upstream
	wish http.Header // the requestor's Impersonate-*, which go with it
}

// Self is the owner of the credential that goes upstream, as in edge connect: nobody is impersonated, but for whom the request
// itself names in Impersonate-* headers, which is the API server's to allow.
func Self() Identity { return Identity{self: true} }

// Own is somebody whose own bearer token goes upstream in place of edge's credential, with the Impersonate-* headers that came
// with it in h: whom the token stands for, and whom it may impersonate, is the API server's to decide.
func Own(token string, u user.Info, h http.Header) Identity {
	id := Identity{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra(), Requestor: u, Bearer: true, own: token}
	id.wish = wishOf(h)
	return id
}

// IsOwn tells whether the identity came from [Own].
func (id Identity) IsOwn() bool { return id.own != "" }

// IsSelf tells whether the identity came from [Self].
func (id Identity) IsSelf() bool { return id.self }

// identityOf is an authenticated user, not looked at yet, without the credential's id. It shares the user's slices.
func identityOf(u user.Info) Identity {
	return Identity{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: withoutCredential(u.GetExtra()), Requestor: u}
}

// checkSystem refuses what an issuer may not mint, except what is allowed by its whole name. A group that no header can carry is
// not yet gone: one of Kubernetes' own shows behind what the receiver would cut off, too.
func (id *Identity) checkSystem(allowed map[string]bool) error {
	if strings.HasPrefix(id.Name, systemPrefix) && !allowed[id.Name] {
		return &ForbiddenError{ErrSystem, fmt.Sprintf("user name %s begins with %q, which is reserved for Kubernetes itself; "+
			"let the issuer send another name or set --oidc-username-prefix", quote(id.Name), systemPrefix)}
	}
	for _, group := range id.Groups {
		if strings.HasPrefix(strings.TrimLeftFunc(group, isControlOrSpace), systemPrefix) && !allowed[group] {
			return &ForbiddenError{ErrSystem, fmt.Sprintf("group %s is under %q, which is reserved for Kubernetes itself; "+
				"let the issuer send another group or set --oidc-groups-prefix", quote(group), systemPrefix)}
		}
	}
	return nil
}

// check refuses what would not arrive as it is.
func (id *Identity) check() error {
	if n := slices.IndexFunc(id.Groups, func(group string) bool { return !intact(group) }); n >= 0 {
		return unusableGroup(id.Groups[n])
	}
	return id.checkApartFromGroups()
}

func (id *Identity) checkApartFromGroups() error {
	if id.Name == "" {
		return &ForbiddenError{ErrNoName, "Username claim not available in OIDC Issuer response"}
	}
	if !intact(id.Name) {
		return notIntact("user name "+quote(id.Name), "let the issuer send another name")
	}
	if !intact(id.UID) {
		return notIntact("uid", "let the issuer send another one")
	}
	for key, values := range id.Extra {
		if !arrives(key) {
			return &ForbiddenError{ErrValue, fmt.Sprintf("extra key %s would reach the API server as another key; "+
				"it must be lower case", quote(key))}
		}
		for _, value := range values {
			if !intact(value) {
				return notIntact("extra value of key "+quote(key), "let the issuer send another one")
			}
		}
	}
	return nil
}

// intact reports whether a value arrives as it is: no control character, and no white space around it, which the receiver
// cuts off: " system:masters" would arrive as another group than the one that was looked at.
func intact(value string) bool {
	return httpguts.ValidHeaderFieldValue(value) && textproto.TrimString(value) == value
}

func allIntact(values []string) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return !intact(value) })
}

func notIntact(what, help string) error {
	return &ForbiddenError{ErrValue, what + " has a control character, or white space around it; " + help}
}

// maxQuoted bounds how much of a name goes into a message.
const maxQuoted = 100

func quote(s string) string { return fmt.Sprintf("%.*q", maxQuoted, s) }

const extraPrefix = "Impersonate-Extra-"

// extraHeader returns the header that an extra key travels in, spelled as it stands in a header map. What no header name may
// contain is percent-encoded, and so is the percent sign: the receiver decodes once.
func extraHeader(key string) string {
	const hex = "0123456789ABCDEF"
	name := make([]byte, 0, len(extraPrefix)+len(key)+16)
	name = append(name, extraPrefix...)
	for i := range len(key) {
		if c := key[i]; c != '%' && httpguts.IsTokenRune(rune(c)) {
			name = append(name, c)
		} else {
			name = append(name, '%', hex[c>>4], hex[c&15])
		}
	}
	return textproto.CanonicalMIMEHeaderKey(string(name))
}

// arrives reports whether the API server reads an extra key as it is.
func arrives(key string) bool { return key != "" && decodeExtraKey(extraHeader(key)) == key }

// decodeExtraKey returns the key that the API server reads out of a header's name.
func decodeExtraKey(header string) string {
	encoded := strings.ToLower(header[len(extraPrefix):])
	key, err := url.PathUnescape(encoded)
	if err != nil {
		return encoded
	}
	return key
}
