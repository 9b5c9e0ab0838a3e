// Package network runs what stands between clients, edge and API servers, played by what does it elsewhere.
//
//	loadbalancer.go  before edge: HAProxy as an AWS Application Load Balancer, nginx as an ingress
//	apibalancer.go   before API servers: HAProxy for TCP alone, and one that ends TLS and speaks HTTP/1.1
//	relay.go         a TCP relay, whose connections a test cuts
//	silent.go        a relay that can fall silent without closing anything
//	line.go          a relay that is as long and as narrow as it is told, with buffers no larger than that
//	link.go          a relay that is as bad as it is told: latency, jitter, slices
//	recorder.go      an HTTP proxy that keeps the head of each request, and can hold reviews back
//
// Nothing here changes what is said, but for the hop-by-hop headers of an HTTP proxy.
package network
