package bridge_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientexec "k8s.io/client-go/util/exec"
)

// channelClient is a client for the channel subprotocols that client-go cannot use: the base64
// ones, which carry text messages, v1, and no subprotocol at all.
type channelClient struct {
	*websocket.Conn
	base64 bool
}

func dialChannels(ctx context.Context, s *httptest.Server, verb, query, protocol string) (*channelClient, error) {
	dialer := websocket.Dialer{TLSClientConfig: tlsFor(s, "http/1.1"), HandshakeTimeout: patience}
	if protocol != "" {
		dialer.Subprotocols = []string{protocol}
	}
	u := podURL(s, verb, query)
	u.Scheme = "wss"
	conn, resp, err := dialer.DialContext(ctx, u.String(), http.Header{})
	if err != nil {
		if resp != nil {
			body, _ := io.ReadAll(resp.Body) // gorilla keeps only the first 1 KiB of the body
			err = fmt.Errorf("%w: %s: %s", err, resp.Status, body)
		}
		return nil, err
	}
	if conn.Subprotocol() != protocol {
		conn.Close()
		return nil, fmt.Errorf("asked for %q, got %q", protocol, conn.Subprotocol())
	}
	return &channelClient{conn, strings.Contains(protocol, "base64")}, nil
}

// send writes one message on a channel.
func (c *channelClient) send(channel byte, b []byte) error {
	if c.base64 {
		return c.WriteMessage(websocket.TextMessage, append([]byte{'0' + channel}, base64.StdEncoding.EncodeToString(b)...))
	}
	return c.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, b...))
}

// receive reads the next message and returns its channel and its data.
func (c *channelClient) receive() (channel byte, b []byte, err error) {
	kind, b, err := c.ReadMessage()
	if err != nil {
		return 0, nil, err
	}
	if len(b) == 0 {
		return 0, nil, errors.New("an empty message from a server")
	}
	channel, b = b[0], b[1:]
	if !c.base64 {
		if kind != websocket.BinaryMessage {
			return 0, nil, errors.New("text where binary was agreed on")
		}
		return channel, b, nil
	}
	if kind != websocket.TextMessage {
		return 0, nil, errors.New("binary where text was agreed on")
	}
	b, err = base64.StdEncoding.DecodeString(string(b))
	return channel - '0', b, err
}

// doChannels runs a command as execClient.doUntil does, but with a channelClient.
func (c execClient) doChannels(ctx context.Context, s *httptest.Server, verb, query string, cmd command) outcome {
	conn, err := dialChannels(ctx, s, verb, query, c.protocol)
	if err != nil {
		return outcome{err: err}
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetReadDeadline(deadline)
	}
	go func() { // this goroutine ends when the connection or stdin ends
		for cmd.sizes != nil {
			size := cmd.sizes.Next()
			if size == nil {
				break
			}
			b, _ := json.Marshal(size)
			if conn.send(4, b) != nil {
				return
			}
		}
		buf := make([]byte, 32<<10)
		for cmd.stdin != nil {
			n, err := cmd.stdin.Read(buf)
			if n > 0 && conn.send(0, buf[:n]) != nil || err != nil {
				return
			}
		}
	}()
	var stdout, stderr, failed bytes.Buffer
	for {
		channel, b, err := conn.receive()
		if err != nil {
			return outcome{stdout.String(), stderr.String(), c.end(failed.Bytes(), err)}
		}
		switch channel {
		case 1:
			stdout.Write(b)
		case 2:
			stderr.Write(b)
		case 3:
			failed.Write(b)
		default:
			return outcome{err: fmt.Errorf("a message on channel %d", channel)}
		}
	}
}

// end returns the error of a command as its client sees it; nil means success. The parameter failed
// is the content of the error channel, and err is the error that ended the connection.
func (c execClient) end(failed []byte, err error) error {
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		return err
	}
	if !c.codes {
		if len(failed) > 0 {
			return fmt.Errorf("error executing remote command: %s", failed)
		}
		return nil
	}
	var status metav1.Status
	if err := json.Unmarshal(failed, &status); err != nil {
		return fmt.Errorf("no status: %q", failed)
	}
	if status.Status == metav1.StatusSuccess {
		return nil
	}
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			var code int
			if _, err := fmt.Sscan(cause.Message, &code); cause.Type == "ExitCode" && err == nil {
				return clientexec.CodeExitError{Err: errors.New(status.Message), Code: code}
			}
		}
	}
	return errors.New(status.Message)
}
