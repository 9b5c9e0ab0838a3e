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

// plainClient is a user's connection to a proxy: HTTP/2, and one unless the proxy ends it.
type plainClient struct {
	target
	transport *http.Transport

	mu    sync.Mutex
	conns []net.Conn // that close ends
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

// close leaves nothing to the transport, which would keep a connection whose last request is just ending.
func (c *plainClient) close() {
	c.transport.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// open sends a GET, with the headers of kubectl, and returns a 200's body, which the caller closes.
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

// get expects a body of size bytes, and reads it all.
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

// inParallel calls do with each i below n, a number of workers at a time. The first error ends it.
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

// plainClients are users of a proxy, one connection each, that stand once this returns. The caller closes them
// by the function that it gets.
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
