package authn

import "runtime"

// verificationStack is what the calls of a verification need beside those that lead to it, in bytes.
const verificationStack = 8 << 10

// growStack makes room for a verification before its calls nest. The goroutine of an HTTP/2 request begins with a small stack,
// and each doubling deep inside go-jose or math copies, and corrects, all frames above.
//
//go:noinline
func growStack() {
	var room [verificationStack]byte
	runtime.KeepAlive(&room)
}
