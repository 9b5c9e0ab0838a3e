package impersonate

import (
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A denial is the API server's refusal of one part of an impersonation request.
type denial struct {
	what  string // the refused part of the request, for example "user 'bob'"
	words string // the API server's message about the refusal
}

func (d *denial) Error() string { return d.words }

// escaper escapes the same characters as the API server does in its refusals, so that a browser
// does not read a refusal as HTML.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// maxShown bounds how much of a name a refusal contains, in characters. Real names are shorter.
const maxShown = 512

// shown returns a name as a message contains it: on one line and of bounded length.
func shown(s string) string {
	quoted := fmt.Sprintf("%.*q", maxShown, s)
	return quoted[1 : len(quoted)-1]
}

// refusal returns a 403 in the API server's words, so that a client receives the same message from
// edge and from the API server.
func refusal(spec authorizationv1.SubjectAccessReviewSpec, reason string) *apierrors.StatusError {
	if path := spec.NonResourceAttributes; path != nil {
		message := escaper.Replace(fmt.Sprintf("User %.*q cannot %s path %.*q", maxShown, spec.User, path.Verb, maxShown, path.Path))
		return apierrors.NewForbidden(schema.GroupResource{}, "", because(message, reason))
	}
	attrs := spec.ResourceAttributes
	resource := attrs.Resource
	if attrs.Subresource != "" {
		resource += "/" + attrs.Subresource
	}
	where := "at the cluster scope"
	if attrs.Namespace != "" {
		where = fmt.Sprintf("in the namespace %.*q", maxShown, attrs.Namespace)
	}
	message := escaper.Replace(fmt.Sprintf("User %.*q cannot %s resource %.*q in API group %q %s",
		maxShown, spec.User, attrs.Verb, maxShown, resource, attrs.Group, where))
	name := attrs.Name
	if len(name) > maxShown {
		name = strings.ToValidUTF8(name[:maxShown], "")
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: attrs.Group, Resource: attrs.Resource}, name, because(message, reason))
}

func because(message, reason string) error {
	if reason != "" {
		message += ": " + reason
	}
	return errors.New(message)
}
