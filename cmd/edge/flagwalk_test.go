package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// effects has one test per flag of edge serve that fails if edge ignores the flag. The audit flags
// are tested in package audit, see TestAuditFlags.
var effects = map[string]func(b *bed){
	// Flags of the group OIDC.
	"oidc-issuer-url": func(b *bed) {
		e := b.serve()
		if resp, _ := e.ask(b.token(map[string]any{"iss": "https://other"}), "/api"); resp.StatusCode != 401 {
			b.Error(resp.Status)
		}
		e.upstreamOf(b.token(nil), "/api")
	},
	"oidc-client-id": func(b *bed) {
		e := b.serve("--oidc-client-id=other")
		if resp, _ := e.ask(b.token(nil), "/api"); resp.StatusCode != 401 {
			b.Error(resp.Status)
		}
		e.upstreamOf(b.token(map[string]any{"aud": "other"}), "/api")
	},
	"oidc-ca-file": func(b *bed) { // a CA that did not sign the issuer's certificate: edge gets no keys
		e := b.start(append(append(b.oidc(), b.upstream()...), "--oidc-ca-file="+b.strangeAuthority())...)
		e.wait("a log line", func() bool { return strings.Contains(e.log.String(), "certificate") })
	},
	"oidc-username-claim": func(b *bed) {
		b.expect(b.serve("--oidc-username-claim=name"), "Impersonate-User", "Jane")
	},
	"oidc-username-prefix": func(b *bed) {
		b.expect(b.serve("--oidc-username-prefix=oidc:"), "Impersonate-User", "oidc:jane")
	},
	"oidc-groups-claim": func(b *bed) {
		b.expect(b.serve("--oidc-groups-claim=email"), "Impersonate-Group", "j@x.example")
	},
	"oidc-groups-prefix": func(b *bed) {
		b.expect(b.serve("--oidc-groups-prefix=oidc:"), "Impersonate-Group", "oidc:dev")
	},
	"oidc-signing-algs": func(b *bed) {
		flags := slices.DeleteFunc(append(b.oidc(), b.upstream()...), func(flag string) bool { return strings.HasPrefix(flag, "--oidc-signing-algs") })
		if resp, _ := b.serveOnly(flags...).ask(b.token(nil), "/api"); resp.StatusCode != 401 { // edge does not accept ES256 by default
			b.Error(resp.Status)
		}
		b.serve().upstreamOf(b.token(nil), "/api")
	},
	"oidc-required-claim": func(b *bed) {
		e := b.serve("--oidc-required-claim=tenant=one", "--oidc-required-claim=name=Jane")
		if resp, _ := e.ask(b.token(nil), "/api"); resp.StatusCode != 401 {
			b.Error(resp.Status)
		}
		e.upstreamOf(b.token(map[string]any{"tenant": "one"}), "/api")
	},
	"authentication-config": func(b *bed) {
		ca, _ := json.Marshal(b.authorityText(b.authority("issuer.crt", b.issuer)))
		e := b.serveOnly(append(b.upstream(), "--authentication-config="+b.file("authn.yaml", `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: "`+b.issuer.URL+`", audiences: [edge], certificateAuthority: `+string(ca)+`}
  claimMappings: {username: {expression: "'cel:' + claims.sub"}}
`))...)
		b.expect(e, "Impersonate-User", "cel:jane")
	},

	// Flags of the group identity.
	"client-ca-file": func(b *bed) {
		ca, pair := b.clientCertificate("anna", "dev")
		e := b.serve("--client-ca-file=" + ca)
		resp, err := certified(pair).Get(e.url + "/api")
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		seen, _ := b.requests("/api")
		if len(seen) != 1 || seen[0].Header.Get("Impersonate-User") != "anna" {
			b.Error(resp.Status, e.log)
		}
	},
	"token-passthrough": func(b *bed) {
		if resp, _ := b.serve().ask("opaque", "/api"); resp.StatusCode != 401 {
			b.Error("without the flag:", resp.Status)
		}
		got := b.serve("--token-passthrough").upstreamOf("opaque", "/api")
		if got.Get("Authorization") != "Bearer opaque" || got.Get("Impersonate-User") != "" {
			b.Error(got)
		}
	},
	"token-passthrough-audiences": func(b *bed) {
		b.serve("--token-passthrough", "--token-passthrough-audiences=one,two").upstreamOf("opaque", "/api")
		_, bodies := b.requests("/apis/authentication.k8s.io/v1/tokenreviews")
		if len(bodies) != 1 || !strings.Contains(bodies[0], `"audiences":["one","two"]`) {
			b.Error(bodies)
		}
	},
	"disable-impersonation": func(b *bed) {
		token := b.token(nil)
		got := b.serve("--disable-impersonation").upstreamOf(token, "/api")
		if got.Get("Authorization") != "Bearer "+token || got.Get("Impersonate-User") != "" {
			b.Error(got)
		}
	},
	"allow-system-identities": func(b *bed) {
		token := b.token(map[string]any{"sub": "system:admin", "groups": []string{"system:masters"}})
		if resp, _ := b.serve("--allow-system-identities=system:admin").ask(token, "/api"); resp.StatusCode != 403 {
			b.Error("the group was not named:", resp.Status)
		}
		got := b.serve("--allow-system-identities=system:admin,system:masters").upstreamOf(token, "/api")
		if got.Get("Impersonate-User") != "system:admin" || got.Get("Impersonate-Group") != "system:masters" {
			b.Error(got)
		}
	},
	"unusable-groups": func(b *bed) {
		token := b.token(map[string]any{"groups": []string{"dev", "night shift "}})
		if resp, _ := b.serve().ask(token, "/api"); resp.StatusCode != 403 {
			b.Error("without the flag:", resp.Status)
		}
		if got := b.serve("--unusable-groups=drop").upstreamOf(token, "/api"); !slices.Equal(got["Impersonate-Group"], []string{"dev"}) {
			b.Error(got)
		}
	},
	"extra-user-headers": func(b *bed) {
		got := b.serve("--extra-user-headers=cluster=one,team=a,cluster=two").upstreamOf(b.token(nil), "/api")
		if !slices.Equal(got["Impersonate-Extra-Cluster"], []string{"one", "two"}) || got.Get("Impersonate-Extra-Team") != "a" {
			b.Error(got)
		}
	},
	"anonymous-paths": func(b *bed) {
		b.serve().refuses("/version")
		e := b.serve("--anonymous-paths=/version,/openid/v1/jwks")
		got := e.upstreamOf("", "/openid/v1/jwks")
		if !slices.Equal(got["Impersonate-User"], []string{"system:anonymous"}) || !slices.Equal(got["Impersonate-Group"], []string{"system:unauthenticated"}) {
			b.Error(got)
		}
		e.refuses("/openid/v1")
	},
	"extra-user-header-client-ip": func(b *bed) {
		b.expect(b.serve("--extra-user-header-client-ip"), "Impersonate-Extra-Remote-Client-Ip", "127.0.0.1")
	},

	// Flags of the group serving.
	"bind-address": func(b *bed) {
		e := b.serve("--bind-address=127.0.0.2")
		if _, err := net.Dial("tcp", strings.Replace(strings.TrimPrefix(e.url, "https://"), "127.0.0.1", "127.0.0.2", 1)); err != nil {
			b.Error(err)
		}
		if !strings.Contains(e.log.String(), "address=127.0.0.2:") { // the log shows that edge listens on no other address; a dial to 127.0.0.1 could reach another process
			b.Error(e.log)
		}
	},
	"secure-port": func(b *bed) { b.serve() }, // no check of its own: every other test fails if edge ignores this flag
	"cert-dir": func(b *bed) {
		dir := b.TempDir()
		b.serve("--cert-dir=" + dir)
		if _, err := os.Stat(filepath.Join(dir, "edge.crt")); err != nil {
			b.Error(err)
		}
	},
	"tls-cert-file":        func(b *bed) { b.expectCertificate("--tls-cert-file=%s", "--tls-private-key-file=%s", "") },
	"tls-private-key-file": func(b *bed) { b.expectCertificate("--tls-cert-file=%s", "--tls-private-key-file=%s", "") },
	"tls-sni-cert-key":     func(b *bed) { b.expectCertificate("--tls-sni-cert-key=%s,%s:special.example", "", "special.example") },
	"tls-cipher-suites": func(b *bed) {
		e := b.serve("--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
		for suite, want := range map[uint16]bool{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: true, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: false} {
			if _, err := e.certificate(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}); (err == nil) != want {
				b.Error(tls.CipherSuiteName(suite), err)
			}
		}
	},
	"tls-min-version": func(b *bed) {
		if _, err := b.serve("--tls-min-version=VersionTLS13").certificate(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
			b.Error("TLS 1.2 is spoken")
		}
	},
	"disable-http2-serving": func(b *bed) {
		e := b.serve("--disable-http2-serving")
		conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			b.Error(got)
		}
	},
	"http2-max-streams-per-connection": func(b *bed) {
		if got := b.serve("--http2-max-streams-per-connection=7").mostStreams(); got != 7 {
			b.Error(got)
		}
	},
	"idle-timeout": func(b *bed) {
		e := b.serve("--idle-timeout=1s")
		conn := e.connection()
		e.askOn(conn, b.token(nil))
		if _, err := io.Copy(io.Discard, conn); err != nil { // reads until edge closes the connection
			b.Error(err)
		}
	},
	"max-connections": func(b *bed) {
		e := b.serve("--max-connections=1")
		first := e.connection()
		if resp, _ := e.ask(b.token(nil), "/api"); resp.StatusCode != 200 {
			b.Error(resp.Status)
		}
		io.Copy(io.Discard, first) // reads until edge closes the connection
	},
	"permit-port-sharing": func(b *bed) {
		e := b.serve("--permit-port-sharing")
		port := e.url[strings.LastIndex(e.url, ":")+1:]
		b.serve("--permit-port-sharing", "--secure-port="+port)
		if second := b.start(append(append(b.oidc(), b.upstream()...), "--secure-port="+port)...); second.cmd.Wait() == nil {
			b.Error("without the flag")
		}
	},
	"permit-address-sharing": func(b *bed) { b.expectLog(b.serve("--permit-address-sharing"), "flag=--permit-address-sharing") },
	"allowed-origins": func(b *bed) {
		ca, pair := b.clientCertificate("anna", "dev")
		e := b.serve("--client-ca-file="+ca, "--allowed-origins=https://console.example.com")
		client := certified(pair)
		for origin, want := range map[string]bool{"https://console.example.com": true, "https://evil.example.com": false} {
			for _, method := range []string{"GET", "POST"} { // GET opens a WebSocket, POST is a write
				req, err := http.NewRequest(method, e.url+"/api/v1/namespaces/a/pods/b/log", nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Origin", origin)
				if method == "GET" {
					for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="} {
						req.Header.Set(name, value)
					}
				}
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
				if (resp.StatusCode != 403) != want {
					b.Error(method, origin, resp.Status)
				}
			}
		}
	},
	"cors-allowed-origins": func(b *bed) {
		e := b.serve(`--cors-allowed-origins=^https://console\.example\.com(:|$),//other\.example$`)
		for origin, want := range map[string]string{"https://console.example.com": "https://console.example.com", "http://other.example": "http://other.example", "https://evil.example.com": ""} {
			if resp, _ := e.ask(b.token(nil), "/api", "Origin", origin); resp.Header.Get("Access-Control-Allow-Origin") != want {
				b.Error(origin, resp.Header)
			}
		}
	},
	"trusted-proxies": func(b *bed) {
		got := b.serve("--trusted-proxies=127.0.0.0/8").upstreamOf(b.token(nil), "/api", "X-Forwarded-For", "6.6.6.6, 203.0.113.5")
		if got.Get("X-Forwarded-For") != "203.0.113.5, 127.0.0.1" {
			b.Error(got)
		}
		for _, same := range []string{"::ffff:127.0.0.1", "::ffff:127.0.0.0/104"} {
			if got := b.serve("--trusted-proxies="+same).upstreamOf(b.token(nil), "/api", "X-Forwarded-For", "203.0.113.5"); got.Get("X-Forwarded-For") != "203.0.113.5, 127.0.0.1" {
				b.Error(same, got)
			}
		}
	},

	// Flags of the group API server.
	"kubeconfig":               inClientFlags,
	"context":                  inClientFlags,
	"cluster":                  inClientFlags,
	"user":                     inClientFlags,
	"server":                   inClientFlags,
	"token":                    func(b *bed) { b.expect(b.serve("--token=another"), "Authorization", "Bearer another") },
	"certificate-authority":    inClientFlags,
	"client-certificate":       inClientFlags,
	"client-key":               inClientFlags,
	"insecure-skip-tls-verify": inClientFlags,
	"tls-server-name":          inClientFlags,
	"request-timeout": func(b *bed) {
		e := b.serve("--request-timeout=200ms")
		b.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		if resp, _ := e.ask(b.token(nil), "/api"); resp.StatusCode != 504 {
			b.Error(resp.Status)
		}
	},
	"upstream-streaming": func(b *bed) {
		for streaming, want := range map[string]string{"spdy": "SPDY/3.1", "websocket": "websocket"} {
			path := "/api/v1/namespaces/a/pods/" + streaming + "/exec"
			b.serve("--upstream-streaming="+streaming).ask(b.token(nil), path+"?stdout=1&command=x", "Connection", "Upgrade", "Upgrade", "websocket",
				"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Protocol", "v5.channel.k8s.io")
			seen, _ := b.requests(path)
			if len(seen) == 0 || seen[0].Header.Get("Upgrade") != want {
				b.Error(streaming, len(seen))
			}
		}
	},
	"disable-compression": func(b *bed) {
		if got := b.serve("--disable-compression").upstreamOf(b.token(nil), "/api", "Accept-Encoding", "gzip"); got.Get("Accept-Encoding") != "" {
			b.Error(got)
		}
	},
	"kube-client-qps": func(b *bed) { // the rate limit makes the second review wait longer than a review may take
		e := b.serve("--kube-client-qps=0.01", "--kube-client-burst=1", "--token-passthrough")
		e.upstreamOf("one", "/api")
		if resp, _ := e.ask("two", "/api"); resp.StatusCode == 200 {
			b.Error(resp.Status)
		}
	},
	"kube-client-burst": func(b *bed) {
		e := b.serve("--kube-client-qps=0.01", "--kube-client-burst=2", "--token-passthrough")
		e.upstreamOf("one", "/api")
		e.upstreamOf("two", "/api")
	},
	"upstream-token-request": func(b *bed) {
		b.expect(b.serve("--upstream-token-request=edge/proxy"), "Authorization", "Bearer requested")
		if seen, _ := b.requests("/api/v1/namespaces/edge/serviceaccounts/proxy/token"); len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer of-edge" {
			b.Error(len(seen), "token requests")
		}
	},
	"upstream-token-request-audience": func(b *bed) {
		b.expectTokenRequest(`"audiences":["x"]`, "--upstream-token-request=edge/proxy", "--upstream-token-request-audience=x")
	},
	"upstream-token-request-lifetime": func(b *bed) {
		b.expectTokenRequest(`"expirationSeconds":1800`, "--upstream-token-request=edge/proxy", "--upstream-token-request-lifetime=30m")
	},

	// Flags of the group operation.
	"readiness-probe-port": func(b *bed) { b.serve() }, // no check of its own: every other test waits until this port answers
	"shutdown-delay-duration": func(b *bed) {
		e := b.serve("--shutdown-delay-duration=2s")
		e.cmd.Process.Signal(syscall.SIGTERM)
		e.wait("not ready", func() bool {
			resp, err := http.Get(e.probe + "/ready")
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.StatusCode == 503
		})
		e.upstreamOf(b.token(nil), "/api")
	},
	"enable-metrics": func(b *bed) {
		b.expectOperators(b.serve("--enable-metrics=false"), "/metrics", 404, "")
		e := b.serve()
		b.expectOperators(e, "/metrics", 200, "edge_build_info{")
		b.expectOperators(e, "/debug/pprof/", 404, "")
	},
	"profiling": func(b *bed) {
		without := b.serve()
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2"} {
			b.expectOperators(without, path, 404, "")
		}
		e := b.serve("--profiling", "--enable-metrics=false")
		b.expectOperators(e, "/debug/pprof/goroutine?debug=2", 200, "goroutine 1 [")
		b.expectOperators(e, "/debug/pprof/cmdline", 404, "")
		b.expectOperators(e, "/metrics", 404, "")
	},
	"flush-interval": func(b *bed) { b.expectLog(b.serve("--flush-interval=1s"), "flag=--flush-interval") },
	"log-format": func(b *bed) {
		e := b.serve("--log-format=json")
		e.stop()
		for line := range strings.Lines(e.log.String()) {
			if !json.Valid([]byte(line)) {
				b.Errorf("not JSON: %s", line)
			}
		}
	},
	"access-log": func(b *bed) {
		e := b.serve("--access-log=false")
		e.upstreamOf(b.token(nil), "/api")
		e.stop()
		if strings.Contains(e.log.String(), "AuSuccess") {
			b.Error(e.log)
		}
		b.expectLog(b.serve(), "AuSuccess")
	},

	// Flags of the group tracing.
	"tracing-endpoint":                  inTracingFlags,
	"tracing-ca-file":                   inTracingFlags,
	"tracing-sampling-rate-per-million": inTracingFlags,
}

// inTracingFlags stands for flags whose effect TestTracingFlags checks.
func inTracingFlags(*bed) {}

// inClientFlags stands for flags whose effect TestClientFlagsHaveAnEffect checks.
func inClientFlags(*bed) {}

// TestFlagsHaveAnEffect checks that each flag of edge serve has its effect.
func TestFlagsHaveAnEffect(t *testing.T) {
	t.Parallel()
	o := newOptions()
	sets := o.flagSets()
	known := map[string]bool{}
	for name, set := range sets.FlagSets {
		set.VisitAll(func(f *pflag.Flag) {
			known[f.Name] = true
			if name == "audit" {
				return
			}
			effect, ok := effects[f.Name]
			if !ok {
				t.Errorf("--%s has no test that shows its effect", f.Name)
				return
			}
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				effect(newBed(t))
			})
		})
	}
	for name := range effects {
		if !known[name] {
			t.Errorf("--%s is no flag", name)
		}
	}
}

func (b *bed) expect(e *instance, header, want string) {
	b.Helper()
	if got := e.upstreamOf(b.token(nil), "/api"); got.Get(header) != want {
		b.Errorf("%s is %q, want %q", header, got.Get(header), want)
	}
}

func (b *bed) expectLog(e *instance, want string) {
	b.Helper()
	e.upstreamOf(b.token(nil), "/api")
	e.wait(want+" in the log", func() bool { return strings.Contains(e.log.String(), want) })
}

// expectOperators checks the answer to a GET on the operator's port. Without a text to find, the
// answer must not have what /metrics and profiles have.
func (b *bed) expectOperators(e *instance, path string, code int, text string) {
	b.Helper()
	resp, err := http.Get(e.probe + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != code || !strings.Contains(string(body), text) || text == "" && (strings.Contains(string(body), "of-edge") || len(body) > 200) {
		b.Errorf("%s: %s %.300s", path, resp.Status, body)
	}
}

func (b *bed) expectTokenRequest(want string, flags ...string) {
	b.Helper()
	b.serve(flags...)
	if _, bodies := b.requests("/api/v1/namespaces/edge/serviceaccounts/proxy/token"); len(bodies) != 1 || !strings.Contains(bodies[0], want) {
		b.Error(bodies)
	}
}

// expectCertificate runs edge with a certificate in the files that the flags name, and checks that
// edge presents it.
func (b *bed) expectCertificate(certFlag, keyFlag, name string) {
	b.Helper()
	crt, key, err := cert.GenerateSelfSignedCertKey("special.example", nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	certFile, keyFile := filepath.Join(b.dir, "c"), filepath.Join(b.dir, "k")
	if err := cert.WriteCert(certFile, crt); err != nil {
		b.Fatal(err)
	}
	if err := keyutil.WriteKey(keyFile, key); err != nil {
		b.Fatal(err)
	}
	flags := []string{strings.Replace(strings.Replace(certFlag, "%s", certFile, 1), "%s", keyFile, 1)}
	if keyFlag != "" {
		flags = append(flags, strings.Replace(keyFlag, "%s", keyFile, 1))
	}
	got, err := b.serve(flags...).certificate(&tls.Config{ServerName: name})
	if err != nil {
		b.Fatal(err)
	}
	if got.VerifyHostname("special.example") != nil {
		b.Error(got.DNSNames)
	}
}

func (b *bed) strangeAuthority() string {
	crt, _, err := cert.GenerateSelfSignedCertKey("stranger", nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.file("stranger.crt", string(crt))
}

func (b *bed) authorityText(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// mostStreams returns SETTINGS_MAX_CONCURRENT_STREAMS in edge's first frames (RFC 9113 section
// 6.5.2).
func (e *instance) mostStreams() uint32 {
	e.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		e.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(bedPatience))
	io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil {
		e.Fatal(err)
	}
	settings := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		e.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if settings[1] == 3 {
			return uint32(settings[2])<<24 | uint32(settings[3])<<16 | uint32(settings[4])<<8 | uint32(settings[5])
		}
	}
	return 0
}

// certified returns an HTTP client with a client certificate.
func certified(pair tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}}}
}
