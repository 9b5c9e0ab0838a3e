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

// Configurations of the proxies that are programs of Debian.
var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.cfg
	haproxyCfg string
)

// programConfig is what those need to know.
type programConfig struct {
	Port          int    // to listen on, on 127.0.0.1
	Upstream      string // host:port
	UpstreamName  string // in upstream's certificate
	CA            string // files
	Cert          string
	Key           string
	Bundle        string // Cert and Key
	Sessions      int    // most at a time
	Descriptors   int    // that so many sessions need
	Threads       int
	SilentSeconds int // after which a session may be ended
}

const (
	// otherDescriptors is what a proxy may have open besides its sessions' sockets.
	otherDescriptors = 400
	// silentSeconds is longer than any measure holds a session in which nothing happens.
	silentSeconds = 3600
)

// startNginx runs nginx without a master: one process, whose clock is the whole cost. A second worker would have sessions
// of its own, and do nothing for those of the first.
func startNginx(ctx context.Context, l *lab) (*process, string, error) {
	return l.startProgram(ctx, "nginx", nginxConf, func(dir, file string) []string {
		return []string{"-e", "stderr", "-p", dir, "-c", file}
	})
}

// startHAProxy runs HAProxy in one process, in the foreground, with as many threads as a Go proxy gets.
func startHAProxy(ctx context.Context, l *lab) (*process, string, error) {
	return l.startProgram(ctx, "haproxy", haproxyCfg, func(_, file string) []string { return []string{"-db", "-f", file} })
}

// startProgram runs a program in a folder of its own and waits until upstream answers through it.
func (l *lab) startProgram(ctx context.Context, name, config string, args func(dir, file string) []string) (*process, string, error) {
	path, ok := l.programs[name]
	if !ok {
		return nil, "", fmt.Errorf("bench: nobody has looked for %s", name)
	}
	dir, err := os.MkdirTemp(l.dir, name+"-")
	if err != nil {
		return nil, "", fmt.Errorf("bench: make a folder: %w", err)
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
