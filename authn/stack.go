package authn

import "runtime"

// verificationStack is the stack space that the nested calls of a token's verification need, in
// bytes.
const verificationStack = 8 << 10

// growStack enlarges the goroutine's stack before a token's verification makes deeply nested calls.
// The goroutine of an HTTP/2 request starts with a small stack. If the stack grows deep inside
// go-jose or math/big, Go must copy all frames, and it does so at each doubling.
func growStack() {
	var room [verificationStack]byte
	runtime.KeepAlive(&room)
}
