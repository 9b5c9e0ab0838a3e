package upstream

// Streaming selects the protocol between edge and the API server for exec, attach and port-forward.
type Streaming string

const (
	// StreamingAuto is SPDY, which every release supports and which costs edge and the API server
	// least. If the path to the API server does not support SPDY, it is WebSocket. See
	// Cluster.auto.
	StreamingAuto Streaming = "auto"
	// StreamingWebSocket is WebSocket only: v5.channel.k8s.io, and for port-forward SPDY inside
	// WebSocket. edge makes an access review for create first.
	StreamingWebSocket Streaming = "websocket"
	// StreamingSPDY is SPDY only.
	StreamingSPDY Streaming = "spdy"
	// StreamingWebSocketFirst is WebSocket, or SPDY if the API server or the path to it refuses
	// WebSocket. It makes no reviews. It is for users with their own credential, as in edge
	// connect.
	StreamingWebSocketFirst Streaming = "websocket-first"
)
