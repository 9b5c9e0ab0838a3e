package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"text/template"
)

// Templates of the configuration files of nginx and HAProxy.
var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.cfg
	haproxyCfg string
)

// programConfig contains the values for a configuration template of nginx or HAProxy.
type programConfig struct {
	Port          int    // port on 127.0.0.1 on which the proxy listens
	Upstream      string // address of the upstream server as host:port
	UpstreamName  string // DNS name in the upstream server's certificate
	CA            string // path of a PEM file with the CA that signed the upstream server's certificate
	Cert          string // path of a PEM file with the proxy's certificate
	Key           string // path of a PEM file with the private key of Cert
	Bundle        string // path of a PEM file that contains the content of Cert and of Key
	Sessions      int    // maximum number of sessions at the same time
	Descriptors   int    // maximum number of file descriptors, enough for Sessions
	Threads       int
	SilentSeconds int // seconds without data after which the proxy may end a session
}

const (
	// otherDescriptors is how many file descriptors a proxy needs in addition to the sockets of
	// sessions.
	otherDescriptors = 400
	// silentSeconds is after how many seconds without data nginx and HAProxy may end a session. It
	// is longer than bench holds any idle session.
	silentSeconds = 3600
)

// startNginx runs nginx as one process without a master process, so that the CPU time of one
// process is the whole cost. A second worker process would have its own sessions and would not
// speed up the sessions of the first.
func startNginx(ctx context.Context, l *lab) (*process, string, error) {
	return l.startProgram(ctx, "nginx", nginxConf, func(dir, file string) []string {
		return []string{"-e", "stderr", "-p", dir, "-c", file}
	})
}

// startHAProxy runs HAProxy as one process in the foreground, with GOMAXPROCS threads like a Go
// proxy.
func startHAProxy(ctx context.Context, l *lab) (*process, string, error) {
	return l.startProgram(ctx, "haproxy", haproxyCfg, func(_, file string) []string { return []string{"-db", "-f", file} })
}

// startProgram runs nginx or HAProxy in a folder of its own, and waits until GET /version through
// it succeeds.
func (l *lab) startProgram(ctx context.Context, name, config string, args func(dir, file string) []string) (*process, string, error) {
	path, ok := l.programs[name]
	if !ok {
		return nil, "", fmt.Errorf("bench: the path of %s is not known", name)
	}
	dir, err := os.MkdirTemp(l.dir, name+"-")
	if err != nil {
		return nil, "", fmt.Errorf("bench: create a folder: %w", err)
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, "config")
	if err := l.writeConfig(file, config, ports[0]); err != nil {
		return nil, "", err
	}
	p, err := l.run(name, exec.Command(path, args(dir, file)...))
	if err != nil {
		return nil, "", err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	if err := l.awaitReady(ctx, p, "https://"+address+"/version"); err != nil {
		return nil, "", p.failure(fmt.Errorf("bench: %s is not ready: %w", name, err))
	}
	return p, address, nil
}

func (l *lab) writeConfig(file, text string, port int) error {
	parsed, err := template.New(filepath.Base(file)).Parse(text)
	if err != nil {
		return fmt.Errorf("bench: parse a configuration: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("bench: write a configuration: %w", err)
	}
	err = parsed.Execute(f, programConfig{
		Port: port, Upstream: l.upstream, UpstreamName: certificateName,
		CA: l.pki.caFile, Cert: l.pki.certFile, Key: l.pki.keyFile, Bundle: l.pki.bundleFile,
		Sessions: maxSessions, Descriptors: 2*maxSessions + otherDescriptors,
		Threads: runtime.GOMAXPROCS(0), SilentSeconds: silentSeconds,
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("bench: write a configuration: %w", err)
	}
	return nil
}
