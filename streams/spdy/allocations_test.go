//go:build !race

package spdy_test

import (
	"strings"
	"testing"
)

// TestAllocations checks that reading and writing a frame allocates nothing, in either direction.
// It does not run under the race detector, where sync.Pool drops buffers.
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
