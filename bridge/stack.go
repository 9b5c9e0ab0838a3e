package bridge

import "runtime"

// plainStack is what the calls of a plain request need, in bytes.
const plainStack = 4 << 10

// growStack makes room for a request before its calls nest: the goroutine of an
// HTTP/2 request begins with a small stack, and growing it in their midst copies,
// and corrects, all frames above.
//
//go:noinline
func growStack() {
	var room [plainStack]byte
	runtime.KeepAlive(&room)
}
