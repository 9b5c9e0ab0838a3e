package rawclient

// Dialect is one protocol and subprotocol for exec or port-forward.
type Dialect struct {
	Name  string
	Offer []string // subprotocols in the client's order; empty: the client does not send the header

	SPDY   bool // SPDY/3.1, directly or in a tunnel; false: WebSocket channels
	Tunnel bool // SPDY tunnelled in WebSocket
	Base64 bool // messages are text: the channel's digit, then base64

	HalfClose bool // can half-close stdin, or the client's side of a connection
	Resize    bool
	Status    bool // the result is a metav1.Status; false: it is text, empty for success
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
		Name: "spdy v5 to v1", SPDY: true, HalfClose: true, Resize: true, Status: true, // the list that client-go offers
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

// ByName returns the dialect of a list with this name. It panics if none has it.
func ByName(list []Dialect, name string) Dialect {
	for _, d := range list {
		if d.Name == name {
			return d
		}
	}
	panic("rawclient: there is no " + name)
}
