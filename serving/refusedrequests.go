package serving

// maxRefusals is how many requests a connection may have refused with 401 before it takes no new ones. A client with an
// expired token sends one or two before it logs in again; kube-apiserver sends GOAWAY after the first ones, too.
const maxRefusals = 3

// Refused says that a request is answered with 401. After maxRefusals of them every answer of the connection ends it:
// GOAWAY, or Connection: close. What is under way on it goes on to its end.
func (c *Conn) Refused() {
	if c != nil && c.refusals.Add(1) == 1 && !c.known.Load() {
		c.server.conns.refused(c)
	}
}

// ending reports whether the connection takes no new requests.
func (c *Conn) ending() bool { return c.refusals.Load() >= maxRefusals }
