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
	rules, err := loadingRules(c.kubeconfig)
	if err != nil {
		return nil, err
	}
	timeout, err := clientcmd.ParseTimeout(c.overrides.Timeout)
	if err != nil || timeout < 0 {
		return nil, fmt.Errorf("--request-timeout: %q is no duration such as 30s or 2m", c.overrides.Timeout)
	}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.overrides).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("no API server: set --kubeconfig or --server, or run edge in a cluster")
	}
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	// In a cluster, clientcmd heeds the server, token and authority flags only.
	cfg.Timeout = timeout
	over := &c.overrides
	if over.ClusterInfo.TLSServerName != "" {
		cfg.ServerName = over.ClusterInfo.TLSServerName
	}
	if over.ClusterInfo.InsecureSkipTLSVerify {
		cfg.Insecure, cfg.CAFile, cfg.CAData = true, "", nil
	}
	if over.AuthInfo.ClientCertificate != "" {
		cfg.CertFile, cfg.CertData = over.AuthInfo.ClientCertificate, nil
	}
	if over.AuthInfo.ClientKey != "" {
		cfg.KeyFile, cfg.KeyData = over.AuthInfo.ClientKey, nil
	}
	if _, err := rest.TLSConfigFor(cfg); err != nil { // reads the files it names
		return nil, fmt.Errorf("API server: %w", err)
	}
	return cfg, nil
}

// loadingRules are kubectl's for where a kubeconfig is: in file, which must be
// there, or if that is empty where kubectl looks.
func loadingRules(file string) (*clientcmd.ClientConfigLoadingRules, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if file != "" {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		rules.ExplicitPath = file
	}
	return rules, nil
}
