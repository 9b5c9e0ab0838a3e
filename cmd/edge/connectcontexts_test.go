//go:build unix

package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/internal/testkit"
)

// contexts is the setup of a test: two clusters, and a kubeconfig with contexts for the clusters
// and with contexts that cannot be used.
type contexts struct {
	dir    string
	file   string
	marker string // file to which the credential plugin adds a line each time it runs
}

func newContexts(t *testing.T) contexts {
	t.Helper()
	c := contexts{dir: t.TempDir()}
	c.file, c.marker = filepath.Join(c.dir, "kubeconfig"), filepath.Join(c.dir, "plugin-ran")
	cluster := func(name string) string {
		server := testkit.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", name, r.Header.Get("Authorization"), r.Header.Get("Impersonate-User"))
		}))
		t.Cleanup(server.Close)
		ca := testkit.PEM(server.Certificate())
		return fmt.Sprintf("{server: %q, certificate-authority-data: %s}", server.URL, base64.StdEncoding.EncodeToString(ca))
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: first, cluster: %s}
- {name: second, cluster: %s}
- {name: plain, cluster: {server: "http://127.0.0.1:1"}}
- {name: addressless, cluster: {}}
- {name: unreadable, cluster: {server: "https://127.0.0.1:1", certificate-authority: /no/such/authority}}
users:
- {name: alice, user: {token: of-alice}}
- {name: jane, user: {token: of-jane, as: janes-boss}}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      interactiveMode: IfAvailable
      command: sh
      args: ["-c", "echo >>%s; echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"of-plugin\"}}'"]
- name: asking
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always, command: "false"}}
contexts:
- {name: one, context: {cluster: first, user: alice, namespace: team-a}}
- {name: two, context: {cluster: second, user: plugin}}
- {name: boss, context: {cluster: second, user: jane}}
- {name: userless, context: {cluster: second}}
- {name: no-such-cluster, context: {cluster: gone, user: alice}}
- {name: no-such-user, context: {cluster: first, user: nobody}}
- {name: clusterless, context: {user: alice}}
- {name: addressless, context: {cluster: addressless, user: alice}}
- {name: plain, context: {cluster: plain, user: alice}}
- {name: unreadable, context: {cluster: unreadable, user: alice}}
- {name: asking, context: {cluster: first, user: asking}}
`, cluster("first"), cluster("second"), c.marker)
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// hasRun returns how often the credential plugin has run.
func (c contexts) hasRun(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(c.marker)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// connected is a running edge connect whose command waits for the end of its input. Read stderr
// only after cmd has ended.
type connected struct {
	cmd    *exec.Cmd
	file   string
	config *clientcmdapi.Config
	stdin  io.Closer
	stderr strings.Builder
}

func (c contexts) connect(t *testing.T, args ...string) *connected {
	t.Helper()
	// The command runs without a terminal, so that the credential plugin gets no input.
	p := &connected{cmd: connectCommand(t, files{kubeconfig: c.file}, t.TempDir(), append(args, "--", "sh", "-c", `echo "$KUBECONFIG"; cat >/dev/null`)...)}
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("%v, %v: %s", err, p.cmd.Wait(), p.stderr.String())
	}
	p.file = strings.TrimSpace(line)
	if p.config, err = clientcmd.LoadFromFile(p.file); err != nil {
		t.Fatal(err)
	}
	return p
}

// end closes the command's input, so that it ends, and returns what connect has printed.
func (p *connected) end(t *testing.T) string {
	t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
	return p.stderr.String()
}

// ask sends a request to the API server of a context, with the overrides that kubectl's flags would
// set.
func ask(t *testing.T, config *clientcmdapi.Config, overrides clientcmd.ConfigOverrides) string {
	t.Helper()
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*config, overrides.CurrentContext, &overrides, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get(cfg.Host + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestConnectContexts checks that the command's kubeconfig has every context of the caller's
// kubeconfig, with the same name, namespace, cluster and user. Each context works through connect
// with its own credential. A credential plugin runs when its context is first used.
func TestConnectContexts(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	p := c.connect(t)
	theirs, err := clientcmd.LoadFromFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if p.config.CurrentContext != "one" || len(p.config.Contexts) != len(theirs.Contexts) {
		t.Errorf("%d contexts, the current one is %q", len(p.config.Contexts), p.config.CurrentContext)
	}
	for name, want := range theirs.Contexts {
		got := p.config.Contexts[name]
		if got == nil || got.Namespace != want.Namespace || want.Cluster != "" && got.Cluster != want.Cluster || want.AuthInfo != "" && got.AuthInfo != want.AuthInfo {
			t.Errorf("context %s is %+v, want %+v", name, got, want)
		}
	}
	text, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "of-alice") || strings.Contains(string(text), "exec:") {
		t.Error("the command's file has the caller's own credentials")
	}
	for _, cluster := range p.config.Clusters {
		if !strings.HasPrefix(cluster.Server, "https://127.0.0.1:") {
			t.Errorf("a cluster is at %s", cluster.Server)
		}
	}
	if n := c.hasRun(t); n != 0 {
		t.Errorf("the plugin of a context that nobody used ran %d times", n)
	}
	for context, want := range map[string]string{
		"":         "first Bearer of-alice ",
		"one":      "first Bearer of-alice ",
		"two":      "second Bearer of-plugin ",
		"boss":     "second Bearer of-jane janes-boss",
		"userless": "second  ",
	} {
		if got := ask(t, p.config, clientcmd.ConfigOverrides{CurrentContext: context}); got != want {
			t.Errorf("context %q: %q, want %q", context, got, want)
		}
	}
	if n := c.hasRun(t); n != 1 {
		t.Errorf("the plugin ran %d times", n)
	}
	mixed := clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Cluster: "second", AuthInfo: "alice"}}
	if got := ask(t, p.config, mixed); got != "second Bearer of-alice " {
		t.Errorf("--cluster and --user: %q", got)
	}
	if said := p.end(t); said != "" {
		t.Errorf("connect said %q", said)
	}
}

// TestConnectBrokenContext checks that a client gets the reason if its context cannot be used, and
// that all other contexts work nevertheless, even if the unusable context is the current one.
func TestConnectBrokenContext(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	p := c.connect(t)
	for context, want := range map[string]string{
		"no-such-cluster": `cluster \"gone\" is not in your kubeconfig`,
		"no-such-user":    `user \"nobody\" is not in your kubeconfig`,
		"clusterless":     "names no cluster",
		"addressless":     `cluster \"addressless\" of your kubeconfig has no server`,
		"plain":           "must begin with https://",
		"unreadable":      "/no/such/authority",
		"asking":          "pass --context to edge connect", // the command has the terminal, so a credential plugin cannot prompt on it
	} {
		got := ask(t, p.config, clientcmd.ConfigOverrides{CurrentContext: context})
		if !strings.Contains(got, `"kind":"Status"`) || !strings.Contains(got, want) {
			t.Errorf("context %s: %s", context, got)
		}
	}
	p.end(t)

	current := c.connect(t, "--context=plain") // the context plain cannot be used, but edge connect starts
	if got := ask(t, current.config, clientcmd.ConfigOverrides{CurrentContext: "one"}); got != "first Bearer of-alice " {
		t.Errorf("beside a broken current context: %s", got)
	}
	current.end(t)
}

// TestConnectUseContext checks that kubectl config use-context changes only the command's
// kubeconfig, and that connect reports at the end that the change is lost.
func TestConnectUseContext(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	before, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*clientcmdapi.Config)
		says   string
	}{
		"use-context": {func(config *clientcmdapi.Config) { config.CurrentContext = "boss" }, "kubectl config use-context boss"},
		"set-context": {func(config *clientcmdapi.Config) { config.Contexts["one"].Namespace = "team-b" }, "was changed, and is deleted"},
		"nothing":     {func(config *clientcmdapi.Config) {}, ""},
	} {
		p := c.connect(t)
		access := &clientcmd.ClientConfigLoadingRules{Precedence: []string{p.file}} // kubectl config writes to this file too, because $KUBECONFIG names it
		config, err := access.GetStartingConfig()
		if err != nil {
			t.Fatal(err)
		}
		test.change(config)
		if err := clientcmd.ModifyConfig(access, *config, true); err != nil {
			t.Fatal(err)
		}
		if said := p.end(t); !strings.Contains(said, test.says) || test.says == "" && said != "" || strings.Count(said, "\n") > 1 {
			t.Errorf("%s: connect said %q", name, said)
		}
		if _, err := os.Stat(p.file); !os.IsNotExist(err) {
			t.Errorf("%s: the file is still there: %v", name, err)
		}
	}
	if after, err := os.ReadFile(c.file); err != nil || string(after) != string(before) {
		t.Errorf("the caller's own kubeconfig is another: %v", err)
	}
}

// TestConnectNoCurrentContext checks that connect starts without a current context, and that other
// contexts work.
func TestConnectNoCurrentContext(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	for _, current := range []string{"gone", ""} {
		config, err := clientcmd.LoadFromFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		config.CurrentContext = current
		if err := clientcmd.WriteToFile(*config, c.file); err != nil {
			t.Fatal(err)
		}
		p := c.connect(t)
		if p.config.CurrentContext != current {
			t.Errorf("the current context is %q", p.config.CurrentContext)
		}
		if got := ask(t, p.config, clientcmd.ConfigOverrides{CurrentContext: "boss"}); got != "second Bearer of-jane janes-boss" {
			t.Error(got)
		}
		p.end(t)
	}
	p := c.connect(t, "--cluster=second", "--user=alice") // connect creates a context for these names
	if got := ask(t, p.config, clientcmd.ConfigOverrides{}); got != "second Bearer of-alice " {
		t.Error(got)
	}
	p.end(t)
}

// TestConnectManyClusters checks that edge connect opens an address for maxClusters clusters,
// including the current cluster, and reports that the kubeconfig has more clusters.
func TestConnectManyClusters(t *testing.T) {
	t.Parallel()
	c := newContexts(t)
	config, err := clientcmd.LoadFromFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxClusters {
		name := fmt.Sprintf("another-%03d", i) // sorts before "first", the current cluster, which must get an address even so
		config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
		config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: "alice"}
	}
	if err := clientcmd.WriteToFile(*config, c.file); err != nil {
		t.Fatal(err)
	}
	p := c.connect(t)
	if n := len(p.config.Clusters); n != maxClusters {
		t.Errorf("%d clusters have an address", n)
	}
	for name, context := range p.config.Contexts {
		if p.config.Clusters[context.Cluster] == nil {
			t.Errorf("context %s leads nowhere", name)
		}
	}
	if got := ask(t, p.config, clientcmd.ConfigOverrides{}); got != "first Bearer of-alice " {
		t.Error(got)
	}
	if said := p.end(t); !strings.Contains(said, "many clusters") {
		t.Errorf("connect said %q", said)
	}
}
