package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// caller is the user of edge connect: the user's kubeconfig, as it was when connect started, with
// the changes that connect's flags make.
type caller struct {
	config    *clientcmdapi.Config
	access    clientcmd.ConfigAccess // where an auth-provider stores its new tokens
	nameless  string                 // name for the missing cluster or user of a context
	inCluster *rest.Config           // configuration of a pod without a kubeconfig; nil: there is a kubeconfig
	terminal  bool                   // connect has the terminal, because it runs no command
}

// pair is the names of a cluster and a user in the caller's kubeconfig.
type pair struct{ cluster, user string }

// ownContext is the name of the context that connect creates if the caller has no current context.
const ownContext = "edge-connect"

// caller reads the kubeconfig as kubectl does. It returns no error for a context that cannot be
// used, unless the flags select that context.
func (o *connectOptions) caller() (*caller, error) {
	rules, err := loadingRules(o.kubeconfig)
	if err != nil {
		return nil, err
	}
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &o.overrides)
	raw, err := loaded.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c := &caller{config: raw.DeepCopy(), access: rules, nameless: ownContext, terminal: o.listen != ""}
	for slices.Contains(append(c.clusters(), c.users()...), c.nameless) {
		c.nameless += "-"
	}
	over := o.overrides
	asked := over.CurrentContext+over.Context.Cluster+over.Context.AuthInfo != ""
	c.config.CurrentContext = cmp.Or(over.CurrentContext, c.config.CurrentContext)
	if c.config.CurrentContext == "" {
		err := c.addOwnContext(loaded)
		needed := asked || len(c.config.Contexts) == 0
		if needed && err != nil {
			return nil, err
		}
	}
	current := c.config.Contexts[c.config.CurrentContext]
	if current != nil {
		current.Cluster, current.AuthInfo = cmp.Or(over.Context.Cluster, current.Cluster), cmp.Or(over.Context.AuthInfo, current.AuthInfo)
	}
	for _, context := range c.config.Contexts {
		context.Cluster, context.AuthInfo = cmp.Or(context.Cluster, c.nameless), cmp.Or(context.AuthInfo, c.nameless)
	}
	if !asked {
		return c, nil
	}
	if current == nil {
		return nil, fmt.Errorf("kubeconfig: context %q does not exist", c.config.CurrentContext)
	}
	if _, err = c.restConfig(c.current()); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return c, nil
}

// addOwnContext adds a current context if the caller has none: in a pod, or if the flags name a
// cluster or a user.
func (c *caller) addOwnContext(loaded clientcmd.ClientConfig) error {
	cfg, err := loaded.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return errors.New("no kubeconfig: set $KUBECONFIG or --kubeconfig")
	}
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	name := ownContext
	for c.config.Contexts[name] != nil {
		name += "-"
	}
	c.config.CurrentContext = name
	c.config.Contexts[name] = &clientcmdapi.Context{Namespace: namespace}
	c.inCluster = cfg
	return nil
}

// current returns the cluster and the user of the current context; two empty names if there is no
// current context.
func (c *caller) current() pair {
	if context := c.config.Contexts[c.config.CurrentContext]; context != nil {
		return pair{context.Cluster, context.AuthInfo}
	}
	return pair{}
}

// logsIn reports whether the current user has a credential plugin, which may need the terminal.
func (c *caller) logsIn() bool {
	user := c.config.AuthInfos[c.current().user]
	return user != nil && user.Exec != nil
}

// restConfig returns the configuration to reach a cluster as a user, or the reason why that is not
// possible. It does not impersonate: the command's kubeconfig has the kubeconfig's impersonation,
// so that --as can replace it.
func (c *caller) restConfig(p pair) (*rest.Config, error) {
	if c.inCluster != nil && p == (pair{c.nameless, c.nameless}) {
		return c.finish(rest.CopyConfig(c.inCluster), p), nil
	}
	cluster, user := c.config.Clusters[p.cluster], c.config.AuthInfos[p.user]
	switch {
	case p.cluster == c.nameless:
		return nil, errors.New("the context names no cluster: set one with kubectl config set-context NAME --cluster=CLUSTER")
	case cluster == nil:
		return nil, fmt.Errorf("cluster %q is not in your kubeconfig: add it with kubectl config set-cluster, or use another context", p.cluster)
	case cluster.Server == "":
		return nil, fmt.Errorf("cluster %q of your kubeconfig has no server: add it with kubectl config set-cluster %[1]s --server=URL", p.cluster)
	case user == nil && p.user != c.nameless:
		return nil, fmt.Errorf("user %q is not in your kubeconfig: add it with kubectl config set-credentials, or use another context", p.user)
	case c.isTaken(p) && user != nil && user.Exec != nil && user.Exec.InteractiveMode == clientcmdapi.AlwaysExecInteractiveMode:
		return nil, fmt.Errorf("user %q must log in at the terminal, which the command uses: pass --context to edge connect, before the --", p.user)
	}
	alone := &clientcmdapi.Config{Clusters: map[string]*clientcmdapi.Cluster{p.cluster: cluster}, AuthInfos: c.config.AuthInfos}
	in := clientcmdapi.Context{Cluster: p.cluster}
	if user != nil {
		in.AuthInfo = p.user
	}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*alone, "", &clientcmd.ConfigOverrides{Context: in}, c.access).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("cluster %q, user %q: %w", p.cluster, p.user, err)
	}
	return c.finish(cfg, p), nil
}

// finish prepares a configuration for connect's requests to the server: it removes the
// impersonation and the timeout. If the command has the terminal, finish also keeps a credential
// plugin from using the terminal.
func (c *caller) finish(cfg *rest.Config, p pair) *rest.Config {
	cfg.Impersonate, cfg.Timeout = rest.ImpersonationConfig{}, 0
	if cfg.ExecProvider != nil && c.isTaken(p) {
		cfg.ExecProvider = cfg.ExecProvider.DeepCopy()
		cfg.ExecProvider.StdinUnavailable = true
		cfg.ExecProvider.StdinUnavailableMessage = "the command uses the terminal: pass --context to edge connect, before the --"
	}
	return cfg
}

// isTaken reports whether the command has the terminal when a user logs in for the first time. If
// connect runs a command, this holds for every user but the current one, who logs in before the
// command starts.
func (c *caller) isTaken(p pair) bool { return !c.terminal && p != c.current() }

// clusters returns the names of all clusters in the kubeconfig, and of clusters that only a context
// names. The cluster of the current context is the first; the others are sorted.
func (c *caller) clusters() []string {
	names := slices.Collect(maps.Keys(c.config.Clusters))
	for _, context := range c.config.Contexts {
		names = append(names, context.Cluster)
	}
	slices.Sort(names)
	current := c.current()
	if current != (pair{}) {
		names = slices.Insert(names, 0, current.cluster)
	}
	return unique(names)
}

// users returns the names of all users in the kubeconfig, and of users that only a context names.
func (c *caller) users() []string {
	names := slices.Collect(maps.Keys(c.config.AuthInfos))
	for _, context := range c.config.Contexts {
		names = append(names, context.AuthInfo)
	}
	return unique(names)
}

// unique keeps the first of equal names and removes the others.
func unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(names, func(name string) bool {
		was := seen[name]
		seen[name] = true
		return was
	})
}

// clientConfig returns the kubeconfig for clients of edge connect. It has the names of the caller's
// own kubeconfig, so that prompts and scripts show the same names. Its addresses are those of edge
// connect's listeners, and only these listeners accept its tokens. Contexts whose cluster has no
// address are left out.
func (c *caller) clientConfig(addresses, tokens map[string]string, authority []byte) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.CurrentContext = c.config.CurrentContext
	for name, address := range addresses {
		config.Clusters[name] = &clientcmdapi.Cluster{Server: address, CertificateAuthorityData: authority}
	}
	for name, token := range tokens {
		user := &clientcmdapi.AuthInfo{Token: token}
		if of := c.config.AuthInfos[name]; of != nil {
			user.Impersonate, user.ImpersonateUID = of.Impersonate, of.ImpersonateUID
			user.ImpersonateGroups, user.ImpersonateUserExtra = of.ImpersonateGroups, of.ImpersonateUserExtra
		}
		config.AuthInfos[name] = user
	}
	for name, context := range c.config.Contexts {
		if addresses[context.Cluster] != "" {
			config.Contexts[name] = &clientcmdapi.Context{Cluster: context.Cluster, AuthInfo: context.AuthInfo, Namespace: context.Namespace}
		}
	}
	return config
}

// kubeconfigMode is the mode of a file that contains tokens.
const kubeconfigMode = 0o600

// writeKubeconfig writes the kubeconfig for clients and returns its path. If the parameter file is
// empty, it writes to a new folder that only its owner can read; otherwise the file must not exist
// yet. The function remove deletes what was written.
func (p *localProxy) writeKubeconfig(file string) (path string, remove func(), err error) {
	if p.written, err = clientcmd.Write(*p.caller.clientConfig(p.addresses, p.tokens, p.certificate.authority)); err != nil {
		return "", nil, fmt.Errorf("kubeconfig for clients: %w", err)
	}
	remove = func() { _ = os.Remove(path) }
	if path = file; path == "" {
		dir, err := newRuntimeDir()
		if err != nil {
			return "", nil, fmt.Errorf("kubeconfig for clients: %w", err)
		}
		path, remove = filepath.Join(dir, "kubeconfig"), func() { _ = os.RemoveAll(dir) }
	} else if path, err = filepath.Abs(path); err != nil {
		return "", nil, fmt.Errorf("--write-kubeconfig: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, kubeconfigMode)
	if err != nil {
		return "", nil, fmt.Errorf("--write-kubeconfig: %w", err)
	}
	_, err = f.Write(p.written)
	if err = errors.Join(err, f.Close()); err != nil {
		remove()
		return "", nil, fmt.Errorf("kubeconfig for clients: %w", err)
	}
	return path, remove, nil
}

// newRuntimeDir creates a folder that only its owner can read, and returns an absolute path,
// because the command may change its working folder. $XDG_RUNTIME_DIR is ignored if it is relative
// (the XDG specification requires that) or has a list separator ($KUBECONFIG is a list).
func newRuntimeDir() (string, error) {
	if parent := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(parent) && !strings.ContainsRune(parent, filepath.ListSeparator) {
		// The folder may be missing: sudo keeps the variable of the other user.
		if dir, err := os.MkdirTemp(parent, "edge-connect-"); err == nil {
			return dir, nil
		}
	}
	dir, err := os.MkdirTemp("", "edge-connect-")
	if err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}
