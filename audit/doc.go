// Package audit will say who did what: the access log and audit events as
// kube-apiserver writes them. There is nothing yet; sessions log one line each
// in package bridge.
package audit
