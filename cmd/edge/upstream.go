package main

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// restConfig reads the API server's address and edge's own credential, as
// kubectl does, or in a cluster from the ServiceAccount.
func (c *clientOptions) restConfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if c.kubeconfig != "" {
		if _, err := os.Stat(c.kubeconfig); err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		rules.ExplicitPath = c.kubeconfig
	}
	if _, err := clientcmd.ParseTimeout(c.overrides.Timeout); err != nil {
		return nil, fmt.Errorf("--request-timeout: %q is no duration such as 30s or 2m", c.overrides.Timeout)
	}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.overrides).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("no API server: set --kubeconfig or --server, or run edge in a cluster")
	}
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	if _, err := rest.TLSConfigFor(cfg); err != nil { // reads the files it names
		return nil, fmt.Errorf("API server: %w", err)
	}
	return cfg, nil
}
