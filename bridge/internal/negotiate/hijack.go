package negotiate

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"edge/bridge/internal/leg"
)

// Hijack writes a 101 and takes over the client's connection from net/http. Reads from the returned
// connection begin with the bytes that the client sent before the 101.
func Hijack(w http.ResponseWriter) (net.Conn, error) {
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, err
	}
	n := rw.Reader.Buffered()
	if n == 0 {
		return conn, nil
	}
	early := make([]byte, n) // n is at most the size of net/http's buffer
	if _, err := io.ReadFull(rw.Reader, early); err != nil {
		conn.Close()
		return nil, err
	}
	return leg.NewReplayed(conn, io.MultiReader(strings.NewReader(string(early)), conn)), nil
}
