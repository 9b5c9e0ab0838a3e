package rawclient

// Dialect is one way to speak exec, or port-forward.
type Dialect struct {
	Name  string
	Offer []string // subprotocols, in the client's order; none: the header is not sent

	SPDY   bool // over SPDY/3.1; otherwise over WebSocket
	Tunnel bool // SPDY inside WebSocket
	Base64 bool // messages are text

	HalfClose bool // can say that stdin, or a connection's input, has ended
	Resize    bool
	Status    bool // the outcome is a metav1.Status; otherwise text, and nothing for success
}

// Execs are the dialects of exec (and attach).
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
		Name: "spdy v5 to v1", SPDY: true, HalfClose: true, Resize: true, Status: true, // as client-go offers them
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

// ByName finds one of a list of dialects.
func ByName(list []Dialect, name string) Dialect {
	for _, d := range list {
		if d.Name == name {
			return d
		}
	}
	panic("rawclient: there is no " + name)
}
