package authn

import "runtime"

// verificationStack is the stack space that the nested calls of a verification need, in bytes.
const verificationStack = 8 << 10

// growStack enlarges the goroutine's stack before the calls of a verification nest. The goroutine
// of an HTTP/2 request starts with a small stack. Each doubling deep inside go-jose or math would
// copy and correct all frames above.
//
//go:noinline
func growStack() {
	var room [verificationStack]byte
	runtime.KeepAlive(&room)
}
