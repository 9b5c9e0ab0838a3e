package impersonate_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"edge/impersonate"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

func Example() {
	policy, err := impersonate.NewPolicy(impersonate.PolicyConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer eyJ..."},
		"Connection":    {"Impersonate-User"},
	}
	jane := &user.DefaultInfo{Name: "jane", Groups: []string{"dev", "ops"}}
	id, err := policy.Identity(context.Background(), jane, impersonate.Request{Header: h})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := impersonate.Rewrite(h, id); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h)

	h.Set("Impersonate-Something", "else")
	_, err = policy.Identity(context.Background(), jane, impersonate.Request{Header: h})
	fmt.Println(err)

	_, err = policy.Identity(context.Background(), &user.DefaultInfo{Name: "system:admin"}, impersonate.Request{})
	fmt.Println(err)
	// Output:
	// map[Accept:[application/json] Impersonate-Group:[dev ops] Impersonate-User:[jane]]
	// the request has the header "Impersonate-Something", but only these impersonation headers exist: Impersonate-User, Impersonate-Group, Impersonate-Uid and Impersonate-Extra-<key>
	// impersonate: reserved identity: user name "system:admin" begins with "system:", which is reserved for Kubernetes itself; configure the issuer to send another name or set --oidc-username-prefix
}

func ExampleReviewer() {
	apiServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":false}}`)
	}))
	defer apiServer.Close()
	client, err := authorizationv1client.NewForConfig(&rest.Config{Host: apiServer.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	reviewer := impersonate.NewReviewer(client.SubjectAccessReviews())

	fmt.Println(reviewer.Review(context.Background(), impersonate.Identity{Name: "jane"}, authorizationv1.ResourceAttributes{
		Verb: "create", Resource: "pods", Subresource: "exec", Namespace: "default", Name: "web",
	}))
	// Output:
	// pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "default"
}
