package audit

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
)

// TestRequestInfo checks that a request is parsed as by kube-apiserver's own code, and that no part
// of the request is in the log or in an error.
func TestRequestInfo(t *testing.T) {
	var klogged bytes.Buffer
	for _, path := range []string{
		"/", "/healthz", "/api/v1/pods", "/api/v1/namespaces/team/pods", "/api/v1/namespaces/team/pods/web", "/api/v1/watch/pods", "/api/v1/watch",
		"/api/v1/proxy/nodes/n", "/apis/apps/v1/deployments", "/api/v1/namespaces/team", "/api/v1/namespaces/team/pods/web/log",
	} {
		for _, query := range []string{
			"", "watch=true", "watch=0&limit=none", "watch=FALSE&limit=none", "watch&limit=none", "watch=true&limit=none", "limit=none",
			"fieldSelector=metadata.name%3Dweb", "fieldSelector=metadata.name%3Dweb&limit=none", "fieldSelector=a%3Db&labelSelector=c%3Dd&limit=none",
			"fieldSelector=%3D%3D%3D&watch=1", "labelSelector=c%3Dd&labelSelector=e&timeoutSeconds=x", "timeoutSeconds=1%zz&limit=none",
		} {
			for _, method := range []string{"GET", "HEAD", "DELETE", "POST", "PUT", "get"} {
				const canary = "canary-6f1d"
				r := httptest.NewRequest(method, path+"?"+query+"&access_token="+canary, http.NoBody)
				klog.SetOutput(io.Discard)
				want, wantErr := requestInfos.NewRequestInfo(r)
				klog.Flush()
				klog.SetOutput(&klogged)
				got, err := requestInfo(r)
				if !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) {
					t.Errorf("%s %s: %+v %v, and not %+v %v", method, r.URL, got, err, want, wantErr)
				}
				if err != nil && strings.Contains(err.Error(), canary) {
					t.Error(err)
				}
			}
		}
	}
	klog.Flush()
	klog.SetOutput(io.Discard)
	if klogged.Len() > 0 {
		t.Errorf("in the log: %.500s", klogged.String())
	}
}

// TestAttributes checks that edge passes the same attributes to an authorizer as kube-apiserver's
// own filter does, with the selectors and without a user.
func TestAttributes(t *testing.T) {
	klog.SetOutput(io.Discard)
	paths := []string{
		"/", "/healthz", "/livez/ping", "/version", "/openapi/v3", "/metrics", "/debug/pprof/heap", "/a//b/../c", "//api/v1/pods", "/%2e%2e/x",
		"/api", "/api/", "/api/v1", "/api/v1/", "/apis", "/apis/apps", "/apis/apps/v1", "/apis/apps/v1/", "/apix/v1/pods",
		"/api/v1/pods", "/api/v1/pods/", "/api/v1//pods", "/api/v1/nodes/n1", "/api/v1/nodes/n1/proxy/metrics", "/api/v1/nodes/n1/status",
		"/api/v1/namespaces", "/api/v1/namespaces/team", "/api/v1/namespaces/team/", "/api/v1/namespaces/team/status", "/api/v1/namespaces/team/finalize",
		"/api/v1/namespaces/team/pods", "/api/v1/namespaces/team/pods/web", "/api/v1/namespaces/team/pods/web/", "/api/v1/namespaces/team/pods/we%2fb",
		"/api/v1/namespaces/team/pods/web/exec", "/api/v1/namespaces/team/pods/web/log", "/api/v1/namespaces/team/pods/web/proxy/a/b?c",
		"/api/v1/namespaces/team/services/https:web:443/proxy/", "/api/v1/namespaces/team/serviceaccounts/bot/token",
		"/api/v1/watch", "/api/v1/watch/", "/api/v1/watch/pods", "/api/v1/watch/pods/web", "/api/v1/watch/namespaces/team/pods",
		"/api/v1/proxy", "/api/v1/proxy/nodes/n1", "/api/v1/proxy/namespaces/team/pods/web", "/api/v1/namespaces/team/watch/pods",
		"/apis/apps/v1/deployments", "/apis/apps/v1/namespaces/team/deployments/web/scale", "/apis/apps/v1/watch/deployments", "/apis/apps/v1/watch",
		"/apis/example.com/v1alpha1/namespaces/team/things/a/b/c/d", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
	}
	queries := []string{
		"", "watch", "watch=", "watch=true", "watch=1", "watch=0", "watch=FALSE", "watch=false&watch=true", "watch=no", "limit=500&continue=abc", "limit=none",
		"fieldSelector=metadata.name%3Dweb", "fieldSelector=metadata.name%3D%3Dweb,spec.nodeName!%3Dn1", "fieldSelector=metadata.name%3Dwe%2Fb&watch=true",
		"fieldSelector=", "fieldSelector=%3D", "fieldSelector=%3D%3D%3D", "fieldSelector=a", "fieldSelector=a%3Db%5C", "fieldSelector=a%3Db&fieldSelector=c%3Dd",
		"labelSelector=app%3Dweb", "labelSelector=app+in+(a,b),!old,new,tier+notin+(x)", "labelSelector=size%3E3,size%3C9", "labelSelector=app+in+()",
		"labelSelector=", "labelSelector=,", "labelSelector=((", "labelSelector=-%3D-", "labelSelector=a%3Db&labelSelector=c%3Dd&watch=1", "labelSelector=a%zz",
		"fieldSelector=a%3Db&labelSelector=c%3Dd", "fieldSelector=a&labelSelector=((&watch=true", "fieldSelector=a%3Db&labelSelector=((&limit=none",
		"fieldSelector=metadata.name%3Dweb&watch=true&timeoutSeconds=x", "fieldSelector=a%3Db;labelSelector=c", "dryRun=All&fieldManager=x",
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "get", "FROB", ""}
	var selecting, refusing, unclear int
	for _, path := range paths {
		for _, query := range queries {
			for _, method := range methods {
				r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
				r.Method, r.URL.RawQuery = method, query
				want, wantErr := filterAttributes(r)
				got, err := Attributes(r)
				if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(withErrorText(got), withErrorText(want)) {
					t.Errorf("%s %s: %+v %v, and not %+v %v", method, r.URL, got, err, want, wantErr)
				}
				switch a, _ := got.(*authorizer.AttributesRecord); {
				case a == nil:
					unclear++
				case a.FieldSelectorParsingErr != nil || a.LabelSelectorParsingErr != nil:
					refusing++
				case a.FieldSelectorRequirements != nil || a.LabelSelectorRequirements != nil:
					selecting++
				}
			}
		}
	}
	if selecting == 0 || refusing == 0 || unclear == 0 {
		t.Errorf("%d requests select, %d with a selector that cannot be read, %d are unclear: there should be some of each", selecting, refusing, unclear)
	}
}

// filterAttributes returns the attributes that kube-apiserver's filters WithRequestInfo and
// WithAuthorization would use.
func filterAttributes(r *http.Request) (authorizer.Attributes, error) {
	info, err := requestInfos.NewRequestInfo(r)
	if err != nil {
		return nil, err
	}
	return filters.GetAuthorizerAttributes(request.WithRequestInfo(r.Context(), info))
}

// withErrorText replaces errors by their text, because two errors with the same text are not equal.
func withErrorText(a authorizer.Attributes) any {
	record, _ := a.(*authorizer.AttributesRecord)
	if record == nil {
		return a
	}
	c := *record
	c.FieldSelectorParsingErr, c.LabelSelectorParsingErr = nil, nil
	return [...]any{c, fmt.Sprint(record.FieldSelectorParsingErr), fmt.Sprint(record.LabelSelectorParsingErr)}
}
