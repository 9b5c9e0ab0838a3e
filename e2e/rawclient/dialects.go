package rawclient

// Dialect is a protocol (SPDY or WebSocket) with a subprotocol, which a client uses for exec,
// attach or port-forward.
type Dialect struct {
	Name string
	// subprotocols that the client offers, in this order; empty: the client does not send the
	// header
	Offer []string

	SPDY   bool // true: SPDY/3.1, directly or tunnelled in WebSocket; false: WebSocket channels
	Tunnel bool // true: SPDY that is tunnelled in WebSocket
	// true: each message is text: the channel number as a digit, then the payload in base64
	Base64 bool

	HalfClose bool // true: the client can half-close stdin, or its side of a forwarded connection
	Resize    bool
	// true: the result of a command is a metav1.Status; false: it is text, empty for success
	Status bool
}

// Execs are the dialects of exec and attach.
var Execs = []Dialect{
	{Name: "websocket none", Resize: true},
	{Name: "websocket channel", Offer: []string{"channel.k8s.io"}, Resize: true},
	{Name: "websocket base64", Offer: []string{"base64.channel.k8s.io"}, Base64: true, Resize: true},
	{Name: "websocket v4", Offer: []string{"v4.channel.k8s.io"}, Resize: true, Status: true},
	{Name: "websocket v4.base64", Offer: []string{"v4.base64.channel.k8s.io"}, Base64: true, Resize: true, Status: true},
	{Name: "websocket v5", Offer: []string{"v5.channel.k8s.io"}, HalfClose: true, Resize: true, Status: true},
	{Name: "spdy v1", SPDY: true, Offer: []string{"channel.k8s.io"}, HalfClose: true},
	{Name: "spdy v2", SPDY: true, Offer: []string{"v2.channel.k8s.io"}, HalfClose: true},
	{Name: "spdy v3", SPDY: true, Offer: []string{"v3.channel.k8s.io"}, HalfClose: true, Resize: true},
	{Name: "spdy v4", SPDY: true, Offer: []string{"v4.channel.k8s.io"}, HalfClose: true, Resize: true, Status: true},
	{Name: "spdy v5", SPDY: true, Offer: []string{"v5.channel.k8s.io"}, HalfClose: true, Resize: true, Status: true},
	{
		// the list of subprotocols that client-go offers over SPDY
		Name: "spdy v5 to v1", SPDY: true, HalfClose: true, Resize: true, Status: true,
		Offer: []string{"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"},
	},
}

// Forwards are the dialects of port-forward.
var Forwards = []Dialect{
	{Name: "spdy", SPDY: true, Offer: []string{"portforward.k8s.io"}, HalfClose: true},
	{Name: "tunnel", SPDY: true, Tunnel: true, Offer: []string{"SPDY/3.1+portforward.k8s.io"}, HalfClose: true},
	{Name: "websocket v4", Offer: []string{"v4.channel.k8s.io"}},
	{Name: "websocket v4.base64", Offer: []string{"v4.base64.channel.k8s.io"}, Base64: true},
}

// ByName returns the dialect with this name in list. It panics if there is none.
func ByName(list []Dialect, name string) Dialect {
	for _, d := range list {
		if d.Name == name {
			return d
		}
	}
	panic("rawclient: there is no " + name)
}
