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

// faults counts what went wrong by kind, and keeps the first of each: a load's failures are many, and mostly the same. Its zero value
// is ready.
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

// kinds are the faults by kind, the most frequent first.
func (f *faults) kinds() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Keys(f.n), func(a, b string) int { return cmp.Or(f.n[b]-f.n[a], strings.Compare(a, b)) })
}

// report makes the test fail with what went wrong, but for the kinds that excused has too.
func (f *faults) report(t *testing.T, excused *faults) {
	t.Helper()
	for _, kind := range f.kinds() {
		if excused == nil || !slices.Contains(excused.kinds(), kind) {
			t.Errorf("%d times %s; the first: %s", f.n[kind], kind, f.first[kind])
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
