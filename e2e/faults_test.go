package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// faults counts failures by their kind. It keeps the first failure of each kind only, because a
// load test may fail many times for the same reason. The zero value is ready to use.
type faults struct {
	mu    sync.Mutex
	n     map[string]int
	first map[string]string
}

func (f *faults) add(kind string, what any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n, f.first = map[string]int{}, map[string]string{}
	}
	if f.n[kind]++; f.n[kind] == 1 {
		f.first[kind] = fmt.Sprint(what)
	}
}

// kinds returns the kinds of failures, the most frequent first.
func (f *faults) kinds() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Keys(f.n), func(a, b string) int { return cmp.Or(f.n[b]-f.n[a], strings.Compare(a, b)) })
}

// report fails the test with each kind of failure in f that does not also occur in the parameter
// excused; nil excuses no failure.
func (f *faults) report(t *testing.T, excused *faults) {
	t.Helper()
	for _, kind := range f.kinds() {
		if excused == nil || !slices.Contains(excused.kinds(), kind) {
			t.Errorf("%d times: %s; the first: %s", f.n[kind], kind, f.first[kind])
		}
	}
}

func (f *faults) String() string {
	var all []string
	for _, kind := range f.kinds() {
		all = append(all, fmt.Sprintf("%d x %s", f.n[kind], kind))
	}
	if all == nil {
		return "none failed"
	}
	return strings.Join(all, "; ")
}
