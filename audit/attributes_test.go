package audit

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

// A request is read as kube-apiserver's own code reads it, and none of it is in the log or an error.
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
				got, err := RequestInfo(r)
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
