package impersonate

import (
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A denial is a no of the API server's about a part of an impersonation request.
type denial struct {
	what  string // was not allowed
	words string // the API server's own
}

func (d *denial) Error() string { return d.words }

// escaper is the API server's: a refusal must not look like HTML to a browser.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// maxShown bounds how much of a name stands in a refusal: more than a real one has.
const maxShown = 512

// shown is a name for a message: one line, and bounded.
func shown(s string) string {
	quoted := fmt.Sprintf("%.*q", maxShown, s)
	return quoted[1 : len(quoted)-1]
}

// refusal is one in the API server's words, so that a client reads the same from edge and from it.
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
