package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/streaming/pkg/httpstream"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// relayedPorts starts a WebSocket server made of this package in front of the container runtime's
// SPDY server. For a client, it must behave in the same way as runtimePorts.
func relayedPorts(t testing.TB, p pod) (addr string) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cri.ServePortForward(w, r, p, "pod", "uid", &cri.V4Options{}, time.Minute, time.Minute, cri.SupportedProtocols)
	}))
	var sessions sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.Add(1)
		defer sessions.Done()
		ports, err := ws.ParsePorts(r.URL.Query()["ports"], ws.V4Channel)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: %s\r\n\r\n", ws.V4)
		if err := relayPorts(c, up.Listener.Addr().String(), ports); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(func() {
		srv.Close()
		up.CloseClientConnections()
		sessions.Wait()
		up.Close()
	})
	return srv.Listener.Addr().String()
}

func relayPorts(c net.Conn, upstream string, ports []uint16) error {
	upConn, err := net.Dial("tcp", upstream)
	if err != nil {
		return err
	}
	defer upConn.Close()
	fmt.Fprintf(upConn, "POST / HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", spdy.Protocol, httpstream.HeaderProtocolVersion, spdy.PortForwardV1)
	upIn := bufio.NewReader(upConn)
	if answer, err := http.ReadResponse(upIn, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upstream: %v, %v", answer, err)
	}

	var table spdy.Table
	down, up := &wire{c: c}, &wire{c: upConn}
	downSink, upSink := ws.NewPortSink(down, ports, ws.V4Channel), spdy.NewPortsSink(up, &table)
	if err := spdy.OpenPorts(up, &table, ports); err != nil {
		return err
	}
	if err := downSink.Start(); err != nil {
		return err
	}
	var saying sync.Mutex // guards the sink downSink, which writes to the client
	upReader := streams.NewReader(upIn, func() error {
		saying.Lock()
		defer saying.Unlock()
		return downSink.Flush()
	})
	downReader := streams.NewReader(c, upSink.Flush)
	defer upReader.Close()
	defer downReader.Close()
	heard := make(chan struct{})
	upSource, downSource := spdy.NewPortsSource(upReader, up, &table), ws.NewPortSource(downReader, down, len(ports), ws.V4Channel)
	hear := sync.OnceFunc(func() { close(heard) })
	upSource.OnDelivered(hear)

	ctx, end := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	goodbye := func() {
		saying.Lock()
		downSink.Write(closing(streams.CloseNormal))
		saying.Unlock()
		end()
	}
	loops.Go(func() {
		// After an error of Next the runtime's report (OnDelivered) cannot arrive any more: end the
		// other loop's wait for it.
		defer hear()
		for {
			f, err := upSource.Next()
			if err != nil {
				return
			}
			saying.Lock()
			downSink.Write(f)
			saying.Unlock()
			if table.Len() == 0 {
				goodbye()
			}
		}
	})
	loops.Go(func() {
		for {
			f, err := downSource.Next()
			if err != nil || f.Kind == streams.Close {
				upSink.AskDelivered()
				upSink.Flush()
				// Wait until the pod has read all data: the runtime drops unread data when the session
				// ends.
				<-heard
				upSink.Write(closing(0))
				upSink.Flush()
				goodbye()
				return
			}
			upSink.Write(f)
		}
	})
	<-ctx.Done()
	c.(*net.TCPConn).CloseWrite()
	upConn.(*net.TCPConn).CloseWrite()
	c.SetReadDeadline(time.Now().Add(time.Second))
	upConn.SetReadDeadline(time.Now().Add(time.Second))
	loops.Wait()
	return nil
}

// TestPortsAlone checks that the connections of one session work and end independently, and that
// the session ends with the last connection. It runs with the container runtime's server and with
// relayedPorts.
func TestPortsAlone(t *testing.T) {
	for name, server := range portServers {
		t.Run(name, func(t *testing.T) {
			const count = 60
			ports := make([]uint16, count)
			for n := range ports {
				ports[n] = uint16(n + 1)
			}
			c, _ := handshake(t, server(t, func(p int32, stream io.ReadWriteCloser) error {
				if p%2 == 0 {
					return fmt.Errorf("refused")
				}
				b := make([]byte, 100_000)
				if _, err := io.ReadFull(stream, b); err != nil {
					return err
				}
				_, err := stream.Write(b)
				return err
			}), portsOf(ports), ws.V4)
			var want, got [count][]byte
			for n := 0; n < count; n += 2 {
				want[n] = bytes.Repeat([]byte{byte(n), byte(n * 3), 7}, 40_000)[:100_000]
			}
			go func() {
				for at := 0; at < 100_000; at += 10_000 {
					for n := range count {
						payload := "late" // also sent to the connections that the pod refused
						if n%2 == 0 {
							payload = string(want[n][at : at+10_000])
						}
						c.Write(message(string([]byte{byte(2 * n)}) + payload))
					}
				}
			}()
			var reasons [count]string
			r := streams.NewReader(c, nil)
			defer r.Close()
			for {
				channel, b, closed := readMessage(t, r)
				if closed {
					if string(b) != "\x03\xe8" {
						t.Errorf("Close %x", b)
					}
					break
				}
				if n := channel / 2; channel%2 == 0 {
					got[n] = append(got[n], b...)
				} else {
					reasons[n] += string(b)
				}
			}
			for n := range count {
				start, reason := string([]byte{byte(n + 1), 0}), ""
				if n%2 == 1 {
					reason = fmt.Sprintf("error forwarding port %d to pod pod, uid uid: refused", n+1)
				}
				if string(got[n]) != start+string(want[n]) || reasons[n] != start+reason {
					t.Errorf("connection %d: %d bytes, %q", n, len(got[n]), reasons[n])
				}
			}
		})
	}
}

// portServers are the container runtime's server and relayedPorts, which relays to it. Both must
// pass the same tests.
var portServers = map[string]func(testing.TB, pod) string{"runtime": runtimePorts, "edge": relayedPorts}

// readMessage reads a server's message and returns its channel and payload, or reports a Close.
func readMessage(t *testing.T, r *streams.Reader) (channel byte, b []byte, closed bool) {
	need := func(n int) []byte {
		var all []byte
		for len(all) < n {
			piece := min(n-len(all), streams.MaxData)
			b, err := r.Need(piece)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
			r.Skip(piece)
		}
		return all
	}
	head := need(2)
	n := int(head[1])
	switch n {
	case 126:
		size := need(2)
		n = int(size[0])<<8 | int(size[1])
	case 127:
		size := need(8)
		n = int(size[5])<<16 | int(size[6])<<8 | int(size[7])
	}
	b = need(n)
	switch head[0] {
	case fin | opClose:
		return 0, b, true
	case fin | opBinary:
		return b[0], b[1:], false
	}
	t.Fatalf("a frame of %x", head)
	return 0, nil, false
}
