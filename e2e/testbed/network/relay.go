package network

import (
	"io"
	"net"
	"net/url"
	"sync"

	"edge/e2e/testbed/cluster"
)

// Relay forwards TCP connections to a server. A test can close all of them with Cut.
type Relay struct {
	listener net.Listener
	target   string // host:port of the server
	// a function that forwards one connection in both directions and returns when the connection
	// has ended
	carry func(client, server net.Conn)
	wg    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// StartRelay starts a TCP relay in front of the cluster's API server. The testbed stops the relay.
func (n *Network) StartRelay(cluster *cluster.Cluster) (*Relay, error) {
	target, err := url.Parse(cluster.URL)
	if err != nil {
		return nil, err
	}
	return n.startRelay(target.Host, carryPlainly)
}

func (n *Network) startRelay(target string, carry func(client, server net.Conn)) (*Relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: listener, target: target, carry: carry, conns: map[net.Conn]bool{}}
	r.wg.Go(r.accept)
	n.OnClose(func() {
		listener.Close()
		r.Cut()
		r.wg.Wait()
	})
	return r, nil
}

// Through returns a copy of `to` with the relay's address as the server's. A client can still
// verify the server's certificate, because the testbed's certificates are valid on any port.
func (r *Relay) Through(to cluster.Access) cluster.Access {
	to.Server = "https://" + r.listener.Addr().String()
	return to
}

// Cut closes all open connections of the relay in both directions at once, as when the server's
// host crashes.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() {
			defer client.Close()
			server, err := net.Dial("tcp", r.target)
			if err != nil {
				return
			}
			defer server.Close()
			r.own(true, client, server)
			defer r.own(false, client, server)
			r.carry(client, server)
		})
	}
}

// carryPlainly forwards both directions of a connection. The end of one direction closes the whole
// connection.
func carryPlainly(client, server net.Conn) {
	var ways sync.WaitGroup
	carry := func(to, from net.Conn) {
		io.Copy(to, from)
		client.Close()
		server.Close()
	}
	ways.Go(func() { carry(server, client) })
	ways.Go(func() { carry(client, server) })
	ways.Wait()
}

func (r *Relay) own(own bool, conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if own {
			r.conns[c] = true
		} else {
			delete(r.conns, c)
		}
	}
}
