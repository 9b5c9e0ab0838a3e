//go:build !unix

package leg

import "net"

// Listener returns l unchanged: on this system a connection cannot be read without waiting.
func Listener(l net.Listener) net.Listener { return l }

func Pollable(conn net.Conn) net.Conn { return conn }
