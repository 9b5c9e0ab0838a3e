package serving

// maxRefusals is how many 401 answers a connection may get before it takes no new requests. A
// client with an expired token gets one or two before it logs in again. kube-apiserver, too, sends
// GOAWAY after the first 401 answers.
const maxRefusals = 3

// Refused reports that a request on the connection is answered with 401. After maxRefusals such
// answers, every answer closes the connection, by GOAWAY or Connection: close. Requests in progress
// on the connection are completed.
func (c *Conn) Refused() {
	if c != nil && c.refusals.Add(1) == 1 && !c.known.Load() {
		c.server.conns.refused(c)
	}
}

// ending reports whether the connection takes no new requests, after too many 401 answers.
func (c *Conn) ending() bool { return c.refusals.Load() >= maxRefusals }
