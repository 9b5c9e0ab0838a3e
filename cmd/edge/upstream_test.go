package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
)

// TestClientFlagsHaveAnEffect sets each flag of the group API server, and checks that its value is
// in the configuration with which edge connects.
func TestClientFlagsHaveAnEffect(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	two := `apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: one, user: one}}
- {name: two, context: {cluster: two, user: two}}
clusters:
- {name: one, cluster: {server: "https://one"}}
- {name: two, cluster: {server: "https://two"}}
users:
- {name: one, user: {token: t1}}
- {name: two, user: {token: t2}}
`
	kubeconfig := filepath.Join(f.dir, "two")
	if err := os.WriteFile(kubeconfig, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	for flags, effect := range map[[2]string]func(*rest.Config) bool{
		{}:                                    func(c *rest.Config) bool { return c.Host == "https://one" && c.BearerToken == "t1" && c.Timeout == 0 },
		{"--context=two"}:                     func(c *rest.Config) bool { return c.Host == "https://two" && c.BearerToken == "t2" },
		{"--cluster=two"}:                     func(c *rest.Config) bool { return c.Host == "https://two" && c.BearerToken == "t1" },
		{"--user=two"}:                        func(c *rest.Config) bool { return c.Host == "https://one" && c.BearerToken == "t2" },
		{"--server=https://three"}:            func(c *rest.Config) bool { return c.Host == "https://three" },
		{"--token=mine"}:                      func(c *rest.Config) bool { return c.BearerToken == "mine" },
		{"--certificate-authority=" + f.cert}: func(c *rest.Config) bool { return c.CAFile == f.cert },
		{"--insecure-skip-tls-verify"}:        func(c *rest.Config) bool { return c.Insecure },
		{"--tls-server-name=other"}:           func(c *rest.Config) bool { return c.ServerName == "other" },
		{"--request-timeout=7s"}:              func(c *rest.Config) bool { return c.Timeout == 7*time.Second },
		{"--client-certificate=" + f.cert, "--client-key=" + f.key}: func(c *rest.Config) bool { return c.CertFile == f.cert && c.KeyFile == f.key },
	} {
		o := newOptions()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		o.client.addFlags(fs)
		args := []string{"--kubeconfig=" + kubeconfig}
		for _, flag := range flags {
			if flag != "" {
				args = append(args, flag)
			}
		}
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		cfg, err := o.client.restConfig()
		if err != nil {
			t.Errorf("%v: %v", flags, err)
			continue
		}
		if !effect(cfg) {
			t.Errorf("%v has no effect: %+v", flags, cfg)
		}
	}
}
