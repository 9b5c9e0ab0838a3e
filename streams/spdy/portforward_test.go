package spdy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	transport "k8s.io/client-go/transport/spdy"
	cri "k8s.io/cri-streaming/pkg/streaming/portforward"

	"edge/streams/spdy"
)

// A service stands for the process that listens on a port of the pod.
type service func(stream io.ReadWriteCloser) error

func (s service) PortForward(_ context.Context, _, _ string, _ int32, stream io.ReadWriteCloser) error {
	return s(stream)
}

// portServer returns the container runtime's handler of port-forward.
func portServer(s service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cri.ServePortForward(w, r, s, "pod", "uid", nil, time.Minute, 10*time.Second, []string{spdy.PortForwardV1})
	})
}

func echo(stream io.ReadWriteCloser) error {
	_, err := io.Copy(stream, stream)
	return err
}

// forward runs client-go's port forwarder until the end of the test. It returns the local address,
// and a channel with the error with which the forwarder ends.
func forward(t testing.TB, u *url.URL) (addr string, lost <-chan error) {
	roundTripper, upgrader, err := transport.RoundTripperFor(&rest.Config{Host: u.Host})
	if err != nil {
		t.Fatal(err)
	}
	dialer := transport.NewDialer(upgrader, &http.Client{Transport: roundTripper}, "POST", u)
	stop, ready, endedc := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	pf := must(portforward.New(dialer, []string{"0:80"}, stop, ready, io.Discard, io.Discard))
	go func() { endedc <- pf.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-endedc:
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() { close(stop) }))
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(must(pf.GetPorts())[0].Local))), endedc
}

// roundTrip connects to addr, sends the bytes of the parameter what, half-closes the connection,
// and returns the bytes that it reads.
func roundTrip(addr string, what []byte) ([]byte, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	go func() {
		c.Write(what)
		c.(*net.TCPConn).CloseWrite()
	}()
	return io.ReadAll(c)
}

// TestPortForwardInterop checks that client-go's port forwarder works with the container runtime's
// server when edge's codecs relay between them. It opens connections one after the other and at the
// same time.
func TestPortForwardInterop(t *testing.T) {
	g, u := newGateway(t, portServer(echo), nil)
	addr, _ := forward(t, u)
	for i := range 60 {
		want := bytes.Repeat([]byte{byte(i)}, 1+i*37)
		if got, err := roundTrip(addr, want); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("connection %d: %d bytes, %v", i, len(got), err)
		}
	}
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, 100_000)
			if got, err := roundTrip(addr, want); err != nil || !bytes.Equal(got, want) {
				t.Errorf("connection %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	group.Wait()
	for wait := time.Millisecond; g.table.Len() > 0; wait *= 2 {
		if wait > 10*time.Second {
			t.Fatalf("%d streams are still open", g.table.Len())
		}
		time.Sleep(wait)
	}
}

// TestPortForwardRefused checks that client-go gets a refused connection as text on the error
// stream, and that the forwarder then ends, as it does without edge.
func TestPortForwardRefused(t *testing.T) {
	g, u := newGateway(t, portServer(func(stream io.ReadWriteCloser) error {
		// Wait for a byte of the client, so that the refusal does not arrive before the server's
		// SYN_REPLY. Otherwise client-go would not read the error stream and would keep its
		// connection.
		io.ReadFull(stream, make([]byte, 1))
		return errors.New("connection refused")
	}), nil)
	addr, lost := forward(t, u)
	if got, err := roundTrip(addr, []byte("GET /")); len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-lost; !errors.Is(err, portforward.ErrLostConnectionToPod) {
		t.Errorf("the forwarder ended with %v", err)
	}
	ended(t, g)
	if !strings.Contains(g.sent.String(), "connection refused") {
		t.Error("the reason did not pass")
	}
}
