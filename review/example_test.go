package review_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"edge/review"
)

// Example asks an API server whether jane may exec. The API server says yes, then no. Then it gives
// no answer, which is an error with a Status of its own: the caller must take it neither for a yes
// nor for a no.
func Example() {
	answers := make(chan string, 3)
	answers <- `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`
	answers <- `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":false}}`
	answers <- `{"kind":"Status","apiVersion":"v1","status":"Failure","code":403,"message":"edge cannot create ..."}`
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := <-answers
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(answer, "Failure") {
			w.WriteHeader(http.StatusForbidden)
		}
		io.WriteString(w, answer)
	}))
	defer api.Close()
	client, err := authorizationv1client.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		fmt.Println(err)
		return
	}

	kind := &review.Kind{
		Room: "example", Name: "access review",
		Resource: "subjectaccessreviews", Group: authorizationv1.GroupName,
	}
	mayExec := func(user string) error {
		question := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "exec"},
		}}
		answer, err := client.SubjectAccessReviews().Create(context.Background(), question, metav1.CreateOptions{})
		if err != nil {
			return kind.Failed(err)
		}
		if !answer.Status.Allowed {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods/exec"}, "", errors.New(user+" may not exec"))
		}
		return nil
	}

	show := func(err error) {
		if unanswered, ok := errors.AsType[*review.Error](err); ok {
			fmt.Println("no answer:", unanswered.Status().Code, unanswered.Status().Message)
			return
		}
		fmt.Println("answer:", err)
	}
	show(mayExec("jane"))
	show(mayExec("jane"))
	show(mayExec("jane"))
	api.Close()
	show(mayExec("jane"))
	// Output:
	// answer: <nil>
	// answer: pods/exec is forbidden: jane may not exec
	// no answer: 500 edge: the access review failed: edge itself lacks permission to create subjectaccessreviews (group authorization.k8s.io)
	// no answer: 503 edge: the access review failed: the API server did not answer; try again
}
