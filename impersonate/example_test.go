package impersonate_test

import (
	"fmt"
	"net/http"

	"edge/impersonate"

	"k8s.io/apiserver/pkg/authentication/user"
)

func Example() {
	id, err := impersonate.FromUser(&user.DefaultInfo{Name: "jane", Groups: []string{"dev", "ops"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer eyJ..."},
		"Connection":    {"Impersonate-User"},
	}
	if err := impersonate.Rewrite(h, id); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h)

	fmt.Println(impersonate.Refuse(http.Header{"Impersonate-Group": {"system:masters"}}) != nil)

	_, err = impersonate.FromUser(&user.DefaultInfo{Name: "system:admin"})
	fmt.Println(err)
	// Output:
	// map[Accept:[application/json] Impersonate-Group:[dev ops] Impersonate-User:[jane]]
	// true
	// impersonate: reserved identity: user name "system:admin" begins with "system:", which is reserved for Kubernetes itself; let the issuer send another name or set --oidc-username-prefix
}
