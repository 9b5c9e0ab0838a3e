//go:build !race

package spdy_test

import (
	"strings"
	"testing"
)

// TestAllocations: a frame allocates nothing, in either direction. Under the race
// detector sync.Pool forgets.
func TestAllocations(t *testing.T) {
	for _, w := range ways {
		for _, size := range sizesOfData {
			source, sink := w.new(strings.Repeat("x", size))
			n := testing.AllocsPerRun(2000, func() {
				if err := sink.Write(must(source.Next())); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("%s, %d bytes: %v allocations per frame", w.name, size, n)
			}
		}
	}
}
