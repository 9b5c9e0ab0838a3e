package testkit

import (
	"testing"
	"time"
)

// patience bounds the wait for what must come, and says nothing about how long that takes.
const patience = time.Minute

// WaitFor waits until ok, which it asks every millisecond.
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}
