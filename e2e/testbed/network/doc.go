// Package network runs proxies between clients and edge, and between edge and API servers. Some are
// programs that production networks use, such as HAProxy; the others are relays of this package.
//
//	loadbalancer.go  in front of edge: HAProxy like an AWS ALB, nginx like an ingress
//	apibalancer.go   in front of API servers: HAProxy for TCP only, or with TLS and HTTP/1.1
//	relay.go         a TCP relay whose connections a test closes
//	silent.go        a TCP relay that can stop forwarding without closing its connections
//	line.go          a TCP relay with a given delay and rate; buffers only the data in flight
//	link.go          a TCP relay with given latency, jitter, rate and size of writes
//	recorder.go      an HTTP proxy that records requests; can hold back token and access reviews
//
// These proxies do not change the forwarded bytes, except for the hop-by-hop headers of the HTTP
// proxies and the X-Forwarded headers of the load balancers.
package network
