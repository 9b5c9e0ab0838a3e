package upstream

// Streaming says what edge speaks to the API server on exec, attach and
// port-forward.
type Streaming string

const (
	// StreamingAuto is SPDY, which costs API server and edge least and which every
	// release knows, and WebSocket where the way to the API server does not carry
	// SPDY. See Cluster.auto.
	StreamingAuto Streaming = "auto"
	// StreamingWebSocket is v5 and the tunnel, with a review for create.
	StreamingWebSocket Streaming = "websocket"
	// StreamingSPDY is SPDY only.
	StreamingSPDY Streaming = "spdy"
	// StreamingWebSocketFirst is WebSocket, and SPDY where the API server or the way
	// to it refuses that. It reviews nothing: it is for who holds their own
	// credential, as in edge connect.
	StreamingWebSocketFirst Streaming = "websocket-first"
)
