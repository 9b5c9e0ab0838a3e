package audit

import (
	"net/http"
	"net/url"
	"strings"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// requestInfos parses a request as kube-apiserver does.
var requestInfos = request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

// Attributes returns the attributes that kube-apiserver would check with its authorizer for r. The
// caller sets the user. Attributes does the same as GetAuthorizerAttributes of k8s.io/apiserver,
// whose package would link gRPC into the binary.
func Attributes(r *http.Request) (authorizer.Attributes, error) {
	info, err := requestInfo(r)
	if err != nil {
		return nil, err
	}
	a := newAttributes(info)
	if info.FieldSelector != "" {
		selected, err := fields.ParseSelector(info.FieldSelector)
		if err != nil {
			a.FieldSelectorParsingErr = err
		} else if requirements := selected.Requirements(); len(requirements) > 0 {
			a.FieldSelectorRequirements = requirements
		}
	}
	if info.LabelSelector != "" {
		selected, err := labels.Parse(info.LabelSelector)
		if err != nil {
			a.LabelSelectorParsingErr = err
		} else if requirements, _ := selected.Requirements(); len(requirements) > 0 {
			a.LabelSelectorRequirements = requirements
		}
	}
	return a, nil
}

// policyAttributes returns the attributes on which the audit policy is evaluated. If kube-apiserver
// cannot parse a path, it answers 500 and makes no event; edge makes an event of the part of the
// path that it could parse. The label and field selectors are left out, because no audit policy
// uses them.
func policyAttributes(r *http.Request, who user.Info) *authorizer.AttributesRecord {
	info, _ := requestInfo(r)
	a := newAttributes(info)
	a.User = who
	return a
}

// newAttributes returns the attributes in info, without the label and field selectors.
func newAttributes(info *request.RequestInfo) *authorizer.AttributesRecord {
	return &authorizer.AttributesRecord{
		Verb: info.Verb, Namespace: info.Namespace, APIGroup: info.APIGroup, APIVersion: info.APIVersion,
		Resource: info.Resource, Subresource: info.Subresource, Name: info.Name,
		ResourceRequest: info.IsResourceRequest, Path: info.Path,
	}
}

// requestInfo parses a request as kube-apiserver does, but logs nothing. NewRequestInfo alone logs
// the whole query, including any token in it, if the query cannot be decoded as ListOptions.
func requestInfo(r *http.Request) (*request.RequestInfo, error) {
	read := func(method, query string) (*request.RequestInfo, error) {
		info, err := requestInfos.NewRequestInfo(&http.Request{Method: method, URL: &url.URL{Path: r.URL.Path, RawQuery: query}})
		if err != nil {
			err = errNoKind
		}
		return info, err
	}
	query := r.URL.Query()
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !reads || isListOptions(query) {
		return read(r.Method, r.URL.RawQuery)
	}
	// kube-apiserver reads only the parameter watch and the selectors from a query that is not
	// valid ListOptions. For the DELETE of a collection, NewRequestInfo reads the selectors without
	// decoding the rest of the query.
	watch := ""
	if said := query["watch"]; len(said) > 0 && said[0] != "0" && !strings.EqualFold(said[0], "false") {
		watch = "watch=true"
	}
	info, err := read(r.Method, watch)
	if err != nil {
		return info, err
	}
	selecting, err := read(http.MethodDelete, r.URL.RawQuery)
	info.FieldSelector, info.LabelSelector = selecting.FieldSelector, selecting.LabelSelector
	return info, err
}

func isListOptions(query url.Values) bool {
	return metainternalversionscheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &metainternalversion.ListOptions{}) == nil
}

// isLongRunning reports whether a request gets a ResponseStarted event, by the rule of
// kube-apiserver.
func isLongRunning(a *authorizer.AttributesRecord) bool {
	if a.Verb == "watch" || a.Verb == "proxy" {
		return true
	}
	if !a.ResourceRequest {
		return strings.HasPrefix(a.Path, "/debug/pprof/")
	}
	switch a.Subresource {
	case "attach", "exec", "proxy", "log", "portforward":
		return true
	}
	return false
}
