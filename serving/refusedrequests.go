package serving

// maxRefusals is how many 401 answers a connection may get before it takes no new requests. A
// client with an expired token gets one or two before it logs in again. kube-apiserver, too, sends
// GOAWAY after the first 401 answers.
const maxRefusals = 3

// Refused reports that a request is answered with 401. After maxRefusals of them, every answer on
// the connection closes it, by GOAWAY or Connection: close. Requests in progress on it are
// completed.
func (c *Conn) Refused() {
	if c != nil && c.refusals.Add(1) == 1 && !c.known.Load() {
		c.server.conns.refused(c)
	}
}

// ending reports whether the connection takes no new requests.
func (c *Conn) ending() bool { return c.refusals.Load() >= maxRefusals }
