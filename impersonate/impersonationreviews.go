package impersonate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	// maxParallel bounds the access reviews that one request runs at the same time.
	maxParallel = 8
	// manyValues is the number of requested groups, or of extra values, from which on edge first
	// sends one review of the name "*", for all of them. Only if the API server answers no does
	// edge send a review of each value. This is for constrained impersonation only.
	manyValues = 4
)

// attempt asks the API server whether one requestor may impersonate the requested user, in one mode
// (kind of right to impersonate) after another.
type attempt struct {
	asker      Asker
	requestor  Identity
	request    *impersonationRequest
	attributes authorizer.Attributes // attributes of the request; nil: the API server offers only plain impersonation
	stream     bool                  // the request begins a stream, see Request.Stream
}

// try is the method that asks whether the requestor may impersonate in the mode with index m (a
// mode is a kind of right to impersonate): first whether the mode is allowed for what the request
// does, then whether it is allowed for each requested value. It returns nil if all answers are yes.
func (a *attempt) try(ctx context.Context, m int) error {
	if modes[m].constrained() {
		for _, verb := range a.verbs() {
			if err := a.ask(ctx, a.requestQuestion(m, verb)); err != nil {
				return err
			}
		}
	}
	return a.values(ctx, m)
}

// verbs returns the verbs for which the requestor must be allowed to impersonate: the verb of the
// request, and also create if the request begins a stream, such as an exec. A WebSocket request is
// a GET (verb get), but the same stream can be begun with a POST (verb create). So the right for
// get alone must not be enough.
func (a *attempt) verbs() []string {
	verbs := []string{a.attributes.GetVerb()}
	if a.stream && verbs[0] != "create" {
		verbs = append(verbs, "create")
	}
	return verbs
}

// requestQuestion returns the question whether the requestor may use the mode with index m (a kind
// of right to impersonate) for the verb and the resource or path of the request: the right
// impersonate-on:<mode>:<verb>.
func (a *attempt) requestQuestion(m int, verb string) question {
	spec := a.requestorSpec(m)
	specOf(&spec, a.attributes)
	verb = "impersonate-on:" + modes[m].name + ":" + verb
	if spec.ResourceAttributes != nil {
		spec.ResourceAttributes.Verb = verb
	} else {
		spec.NonResourceAttributes.Verb = verb
	}
	return question{spec: spec, what: a.user()}
}

// values asks for each requested value (user name, UID, groups, extras), in the order of the API
// server's impersonation filter.
func (a *attempt) values(ctx context.Context, m int) error {
	name, uid, groups, extras := a.userQuestion(m), a.uidQuestion(m), a.groupQuestions(m), a.extraQuestions(m)
	if a.attributes == nil { // the API server's filter for plain impersonation asks in this order
		return a.askAll(ctx, slices.Concat(name, groups, extras, uid))
	}
	if modes[m].constrained() && len(groups) >= manyValues && a.all(ctx, groups[0], "") {
		groups = nil
	}
	if modes[m].constrained() && len(extras) >= manyValues && a.all(ctx, extras[0], "*") {
		extras = nil
	}
	return a.askAll(ctx, slices.Concat(name, uid, groups, extras))
}

// all is the method that asks with one review whether every name of a resource is allowed. If it
// returns false, the caller must ask for each name.
func (a *attempt) all(ctx context.Context, like question, subresource string) bool {
	attrs := *like.spec.ResourceAttributes
	attrs.Name, attrs.Subresource = "*", subresource
	like.spec.ResourceAttributes = &attrs
	return a.ask(ctx, like) == nil
}

func (a *attempt) userQuestion(m int) []question {
	group := a.usersGroup(m)
	q := a.question(m, group, "users", a.request.name)
	attrs := q.spec.ResourceAttributes
	if namespace, name, err := serviceaccount.SplitUsername(a.request.name); err == nil {
		attrs.Resource, attrs.Namespace, attrs.Name = "serviceaccounts", namespace, name
	} else if name, ok := nodeName(a.request.name); ok && modes[m].constrained() {
		attrs.Resource, attrs.Name = "nodes", name
	}
	if m == associatedNode {
		// Ask about every node, as the API server does, so that one cached answer counts for this
		// service account on all nodes. The mode's function covers has already checked that the
		// request is for the requestor's own node.
		attrs.Name = "*"
	}
	q.what = a.user()
	return []question{q}
}

func (a *attempt) uidQuestion(m int) []question {
	if a.request.uid == "" {
		return nil
	}
	q := a.question(m, authenticationv1.SchemeGroupVersion.Group, "uids", a.request.uid)
	q.what = "uid '" + shown(a.request.uid) + "'"
	return []question{q}
}

func (a *attempt) groupQuestions(m int) []question {
	if modes[m].constrained() {
		for _, never := range [...]struct{ name, refusal string }{
			{"", "impersonating the empty string group is not allowed"},
			{user.SystemPrivilegedGroup, "impersonating the system:masters group is not allowed"},
		} {
			if slices.Contains(a.request.groups, never.name) {
				q := a.question(m, a.usersGroup(m), "groups", never.name)
				q.what, q.refusal = "group '"+never.name+"'", never.refusal
				return []question{q}
			}
		}
	}
	questions := make([]question, len(a.request.groups))
	for i, group := range a.request.groups {
		if i == 0 {
			questions[i] = a.question(m, a.usersGroup(m), "groups", group)
		} else { // copy the first question and change the name: building the requestor's many groups again would be costly
			questions[i] = questions[0].about(group)
		}
		questions[i].what = "group '" + shown(group) + "'"
	}
	return questions
}

func (a *attempt) extraQuestions(m int) []question {
	if modes[m].constrained() {
		if refusal := refusedExtra(a.request); refusal != "" {
			q := a.question(m, authenticationv1.SchemeGroupVersion.Group, "userextras", "")
			q.what, q.refusal = "these extras", refusal
			return []question{q}
		}
	}
	if len(a.request.extraKeys) == 0 {
		return nil
	}
	var questions []question
	like := a.question(m, authenticationv1.SchemeGroupVersion.Group, "userextras", "")
	for _, key := range a.request.extraKeys {
		for _, value := range a.request.extra[key] {
			q := like.about(value)
			q.spec.ResourceAttributes.Subresource = key
			q.what = fmt.Sprintf("extra info '%s'='%s'", shown(key), shown(value))
			questions = append(questions, q)
		}
	}
	return questions
}

// refusedExtra returns why constrained impersonation never allows the requested extras. It returns
// an empty string if a right may allow them.
func refusedExtra(req *impersonationRequest) string {
	for _, key := range req.extraKeys {
		if err := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra", "key"), key).ToAggregate(); err != nil {
			return "impersonating an invalid key in extra is not allowed: " + err.Error()
		}
		if slices.Contains(req.extra[key], "") {
			return "impersonating the empty string value in extra is not allowed"
		}
	}
	return ""
}

// usersGroup returns the API group of the resources users and groups in a review, for the mode with
// index m (a kind of right to impersonate). Reviews for constrained impersonation use another API
// group than reviews for plain impersonation.
func (a *attempt) usersGroup(m int) string {
	if modes[m].constrained() {
		return authenticationv1.SchemeGroupVersion.Group
	}
	return ""
}

func (a *attempt) question(m int, group, resource, name string) question {
	spec := a.requestorSpec(m)
	version := "v1"
	if a.attributes == nil && group == "" {
		version = "" // the API server's filter for plain impersonation sends no version
	}
	spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Verb: modes[m].verb(), Group: group, Version: version, Resource: resource, Name: name,
	}
	return question{spec: spec}
}

// requestorSpec returns a review about the requestor that does not name a resource yet. The review
// contains the groups that the API server would see if the requestor did not impersonate.
func (a *attempt) requestorSpec(m int) authorizationv1.SubjectAccessReviewSpec {
	u := a.requestor.Requestor
	extra := u.GetExtra()
	if m == associatedNode {
		extra = associatedExtra(u)
	}
	spec := authorizationv1.SubjectAccessReviewSpec{User: u.GetName(), UID: u.GetUID(), Groups: a.requestor.groupsUpstream()}
	if len(extra) > 0 {
		spec.Extra = make(map[string]authorizationv1.ExtraValue, len(extra))
		for key, values := range extra {
			spec.Extra[key] = values
		}
	}
	return spec
}

func (a *attempt) user() string { return "user '" + shown(a.request.name) + "'" }

// askAll asks questions in their order, maxParallel at the same time, and starts no further
// question after a refusal. If several questions are refused, the error is about the first of them
// in this order. So the same rights always give the same error.
func (a *attempt) askAll(ctx context.Context, questions []question) error {
	if len(questions) == 1 {
		return a.ask(ctx, questions[0])
	}
	errs := make([]error, len(questions))
	var refused atomic.Bool
	var asking errgroup.Group
	asking.SetLimit(maxParallel)
	for i := range questions {
		if refused.Load() {
			break
		}
		asking.Go(func() error {
			if errs[i] = a.ask(ctx, questions[i]); errs[i] != nil {
				refused.Store(true)
			}
			return nil
		})
	}
	_ = asking.Wait() // errs has all errors
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ask sends one question. It returns nil for a yes, a denial for a no, and the error of the review
// if there is no answer.
func (a *attempt) ask(ctx context.Context, q question) error {
	reason := q.refusal
	if reason == "" {
		if err := ctx.Err(); err != nil {
			return tookTooLong(err)
		}
		allowed, why, err := a.asker.Ask(ctx, q.spec)
		if err != nil || allowed {
			return err
		}
		reason = why
	}
	return &denial{what: q.what, words: refusal(q.spec, reason).ErrStatus.Message}
}

// forbidden converts a denial to the 403 that the client receives. Other errors stay unchanged.
func (a *attempt) forbidden(err error) error {
	if d := (*denial)(nil); errors.As(err, &d) {
		refused := escaper.Replace(shown(a.requestor.Name) + " is not allowed to impersonate " + d.what)
		return &ForbiddenError{ErrDenied, refused + ": " + d.words}
	}
	return err
}

// A question is one access review that a Policy needs. If refusal is set, edge sends no review,
// because no right allows the request.
type question struct {
	spec    authorizationv1.SubjectAccessReviewSpec
	what    string // the part of the request that the review is about, for example "user 'bob'"; the error names it
	refusal string
}

// about returns the same question about the object called name.
func (q question) about(name string) question {
	attrs := *q.spec.ResourceAttributes
	attrs.Name = name
	q.spec.ResourceAttributes = &attrs
	return q
}
