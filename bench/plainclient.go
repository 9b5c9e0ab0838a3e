package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// plainClient sends the requests of one user to a proxy over HTTP/2. It uses one connection, unless
// the proxy closes that connection.
type plainClient struct {
	target
	transport *http.Transport

	mu    sync.Mutex
	conns []net.Conn // all connections that the client opened; the method close closes them; guarded by mu
}

func newPlainClient(t target) *plainClient {
	c := &plainClient{target: t}
	c.transport = &http.Transport{DialContext: c.dial, TLSClientConfig: t.tlsConfig(), TLSHandshakeTimeout: handshakeTimeout,
		ForceAttemptHTTP2: true}
	return c
}

func (c *plainClient) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: handshakeTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return conn, nil
}

// close closes all connections of the client. CloseIdleConnections alone would not close a
// connection that the transport still counts as busy because its last request is just ending.
func (c *plainClient) close() {
	c.transport.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// open sends a GET request with the headers of kubectl and returns the body of a 200 response. The
// caller closes the body.
func (c *plainClient) open(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.address+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header = c.header()
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	request.Header.Set("User-Agent", "kubectl/v1.36.0 (linux/amd64) kubernetes/0000000")
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.ProtoMajor == 2 && response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	return nil, fmt.Errorf("bench: GET %s: %s %s: %s", path, response.Proto, response.Status, text)
}

// get sends a GET request and reads the body of the response, which must have size bytes.
func (c *plainClient) get(ctx context.Context, path string, size int) error {
	body, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if err == nil && n != int64(size) {
		err = fmt.Errorf("bench: GET %s: %d bytes instead of %d", path, n, size)
	}
	return err
}

// inParallel calls the function do with each i from 0 to n-1, in the given number of goroutines.
// After the first error it makes no more calls and returns that error.
func inParallel(ctx context.Context, n, workers int, do func(ctx context.Context, i int) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var begun atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := begun.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = begun.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// plainClients returns one HTTP client for each token. Each client has sent a request before, so
// that its connection is open. The caller closes the clients with closeAll.
func plainClients(ctx context.Context, t target, tokens []string) (clients []*plainClient, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range clients {
			c.close()
		}
	}
	for _, token := range tokens {
		t.token = token
		c := newPlainClient(t)
		clients = append(clients, c)
		if err := c.get(ctx, versionPath, len(version)); err != nil {
			closeAll()
			return nil, nil, errors.Join(err, ctx.Err())
		}
	}
	return clients, closeAll, nil
}
