package e2e

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed/cluster"
)

// caller is an HTTP client that sends many requests over connections that it keeps open, like a
// long-running program.
type caller struct {
	server string
	client *http.Client
}

func newCaller(t *testing.T, to cluster.Access) *caller {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(to)}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{server: to.Server, client: &http.Client{Transport: transport, Timeout: patience}}
}

// get sends a GET with a token and returns the response's code and body.
func (c *caller) get(ctx context.Context, uri, token string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+uri, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body), err
}

// clientAs returns a client-go client for the server and the credential in `to`. The client
// impersonates the user in `as`, unless `as` is empty.
func clientAs(t *testing.T, to cluster.Access, as rest.ImpersonationConfig) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: to.Server, BearerToken: to.Token, Impersonate: as, QPS: -1, Timeout: patience,
		TLSClientConfig: rest.TLSClientConfig{CAData: to.CA, CertData: to.Client.Cert, KeyData: to.Client.Key},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// whoAmI returns the user name, groups and extras under which the API server sees the client.
func whoAmI(ctx context.Context, client kubernetes.Interface) (authenticationv1.UserInfo, error) {
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return review.Status.UserInfo, nil
}

// eventually calls the function try every 100 ms until try returns nil. If that takes longer than
// the parameter limit, eventually fails the test. The parameter what names the awaited event in the
// failure message.
func eventually(ctx context.Context, t *testing.T, limit time.Duration, what string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: did not happen within %v: %v", what, limit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
