package main

import "testing"

func TestBracketed(t *testing.T) {
	for text, want := range map[string]string{"always [madvise] never\n": "madvise", "never": "", "[": "", "": ""} {
		if got := bracketed(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
