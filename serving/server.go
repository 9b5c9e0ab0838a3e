package serving

// Server accepts connections and serves HTTP/1.1 and HTTP/2 on them.
type Server struct {
	conns  registry
	budget budget
}
