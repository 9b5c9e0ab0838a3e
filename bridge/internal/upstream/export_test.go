package upstream

import "net/http"

const (
	KeptBody   = keptBody
	KeptBodies = keptBodies
)

// Used is how many bytes of bodies are kept.
func (k *Keeper) Used() int64 { return k.used.Load() }

// SetNext changes what a Keeper stands before.
func (k *Keeper) SetNext(next http.RoundTripper) { k.next = next }
