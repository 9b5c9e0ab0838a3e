package testkit

import (
	"testing"
	"time"
)

// patience is the timeout of WaitFor. It is so long that only a test that has failed reaches it; it
// does not check how fast anything is.
const patience = time.Minute

// WaitFor waits until ok returns true, and calls it every millisecond. After one minute it fails
// the test.
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out after %v waiting for %s", patience, what)
		}
	}
}
