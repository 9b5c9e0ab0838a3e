//go:build !unix

package leg

import "net"

// Listener returns l as it is: this system has no way to look without waiting.
func Listener(l net.Listener) net.Listener { return l }

func Pollable(conn net.Conn) net.Conn { return conn }
