package authn

import (
	"encoding/json"
	"testing"
)

func envelopeOf(payload string) (envelope, error) {
	var said claims
	if err := json.Unmarshal([]byte(payload), &said); err != nil {
		return envelope{}, err
	}
	return said.envelope([]byte(payload))
}

// TestEnvelope checks that the claims iss and nbf are read as encoding/json reads members of a
// struct. It covers both code paths of claims.envelope.
func TestEnvelope(t *testing.T) {
	const issuer, other = "https://a.example", "https://b.example"
	for payload, want := range map[string]struct{ issuer, notBefore string }{
		`{"iss":"` + issuer + `","nbf":7}`:                     {issuer, "7"},
		`{"ISS":"` + issuer + `"}`:                             {issuer, ""},
		`{"iss":"` + issuer + `","Iss":"` + other + `"}`:       {other, ""},
		`{"Iss":"` + issuer + `","iss":"` + other + `"}`:       {other, ""},
		`{"iſſ":"` + other + `","nbf":1}`:                      {other, "1"},
		`{"iss":"` + issuer + `","nbf":1,"NBF":2}`:             {issuer, "2"},
		`{"iss":"` + issuer + `","nbf":null}`:                  {issuer, ""},
		`{"iss":null}`:                                         {"", ""},
		`{}`:                                                   {"", ""},
		`{"iss":"` + issuer + `","iss":"` + other + `","x":1}`: {other, ""},
	} {
		e, err := envelopeOf(payload)
		got := ""
		if e.NotBefore != nil {
			got = e.NotBefore.String()
		}
		if err != nil || e.Issuer != want.issuer || got != want.notBefore {
			t.Errorf("%s: %q, %q, %v", payload, e.Issuer, got, err)
		}
	}
	for _, payload := range []string{`{"iss":1}`, `{"iss":["` + issuer + `"]}`, `{"iss":"` + issuer + `","nbf":"x"}`, `{"Nbf":{}}`} {
		if e, err := envelopeOf(payload); err == nil {
			t.Errorf("%s: %+v", payload, e)
		}
	}
}
