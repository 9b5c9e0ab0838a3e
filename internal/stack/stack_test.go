package stack_test

import (
	"runtime/metrics"
	"testing"

	"edge/internal/stack"
)

const (
	goroutines = 200
	room       = 16 << 10
)

// TestGrow holds goroutines that have called Grow, and compares the memory of all stacks with before.
func TestGrow(t *testing.T) {
	stop, grown := make(chan struct{}), make(chan struct{})
	before := stacks()
	for range goroutines {
		go func() {
			stack.Grow[[room]byte]()
			grown <- struct{}{}
			<-stop
		}()
	}
	for range goroutines {
		<-grown
	}
	after := stacks()
	close(stop)
	if after < before+goroutines*room {
		t.Errorf("%d goroutines have grown: the stacks went from %d to %d bytes, want %d more", goroutines, before, after, goroutines*room)
	}
}

// stacks returns the memory of all stacks, in bytes.
func stacks() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func BenchmarkGrow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		stack.Grow[[room]byte]()
	}
}
