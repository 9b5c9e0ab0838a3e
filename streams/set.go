package streams

// Set states which streams an exec or attach has. The error stream always exists. Terminal stands
// for the resize stream, which exists if the session has a tty and subprotocol v3 or later.
type Set struct {
	Stdin, Stdout, Stderr, Terminal bool
}

// Has reports whether the exec or attach has a stream of role r. Roles that are not of exec or
// attach, such as Port, are never in a Set.
func (s Set) Has(r Role) bool {
	switch r {
	case Stdin:
		return s.Stdin
	case Stdout:
		return s.Stdout
	case Stderr:
		return s.Stderr
	case Terminal:
		return s.Terminal
	}
	return r == Error
}
