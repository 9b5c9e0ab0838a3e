package authn_test

import (
	"context"
	"fmt"
	"net/http"

	"edge/authn"
)

func Example() {
	a, err := authn.New(authn.Options{Flags: authn.Flags{
		IssuerURL:   "https://login.example.com",
		ClientID:    "edge",
		GroupsClaim: "groups",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// "go a.Run(ctx)" would fetch the keys. This example has no issuer, so there are no keys to
	// fetch.
	ctx := context.Background()

	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://edge.example.com/api", nil)
	r.Header.Set("Authorization", "Bearer eyJ...")

	token, ok, err := authn.Credential(r)
	authn.Strip(r.Header)
	fmt.Println(ok, err, r.Header)

	_, err = a.Authenticate(ctx, token)
	fmt.Println(err)
	// Output:
	// true <nil> map[]
	// authn: credential refused (malformed): not three parts in base64url
}

func ExampleNew() {
	_, err := authn.New(authn.Options{Flags: authn.Flags{IssuerURL: "http://login.example.com"}})
	fmt.Println(err)
	// Output:
	// --oidc-issuer-url: must be an https URL, not "http://login.example.com"
}
