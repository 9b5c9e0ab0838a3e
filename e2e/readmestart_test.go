package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/run"
)

// TestReadmeStart runs the commands of the README's section "Start in two minutes" as they are
// written there, with the address of a real issuer and with ports that are free.
func TestReadmeStart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	port, err := run.FreePort()
	probes, probesErr := run.FreePort()
	root, rootErr := binaries.RepoRoot()
	kubeconfig, configErr := bed.Kubeconfig(sites[cluster.New].cluster.AdminAccess())
	if err := errors.Join(err, probesErr, rootErr, configErr); err != nil {
		t.Fatal(err)
	}
	commands := shownCommands(t, "## Start in two minutes")
	if len(commands) != 4 {
		t.Fatalf("the README shows %d commands, want 4: %q", len(commands), commands)
	}
	for i := range commands {
		commands[i] = strings.NewReplacer("https://login.example.com", idp.URL, "-id=kubernetes", "-id="+issuer.ClientID,
			"6443", strconv.Itoa(port)).Replace(commands[i])
	}
	build, serve, whoami, explain := commands[0], commands[1], commands[2], commands[3]
	serve += fmt.Sprintf(" --bind-address=127.0.0.1 --secure-port=%d --readiness-probe-port=%d", port, probes)

	heavy <- struct{}{}
	cmd := exec.CommandContext(ctx, "sh", "-c", build)
	cmd.Dir = root
	said, err := cmd.CombinedOutput()
	<-heavy
	if err != nil {
		t.Fatalf("%s: %v\n%s", build, err, said)
	}

	// dir is the reader's folder, and their home.
	dir := t.TempDir()
	kubectl := bed.Bin.Kubectl[binaries.KubectlVersions[len(binaries.KubectlVersions)-1]]
	for link, to := range map[string]string{
		"bin": filepath.Join(root, "bin"), "kubectl": kubectl,
		".kube/config": kubeconfig,
	} {
		link = filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"HOME=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH"), "SSL_CERT_FILE=" + idp.CAFile, "ID_TOKEN=" + tokens["alice"]}
	edge, err := run.Spawn(dir, "serve", []string{"sh", "-c", "exec " + serve}, env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { edge.Stop(10 * time.Second) })
	err = run.Until(ctx, run.StartupTime, "edge", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", run.Loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}, edge)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{whoami, explain} {
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		said, err := cmd.CombinedOutput()
		if name := idp.URL + "#"; err != nil || !strings.Contains(string(said), name) {
			t.Errorf("%s: %v, want the user %s...\n%s\n%s", command, err, name, said, edge.Tail())
		}
	}
}

// shownCommands returns the commands in a section of the README, each on one line.
func shownCommands(t *testing.T, section string) (commands []string) {
	t.Helper()
	readme, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "\n"+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	text = strings.ReplaceAll(text, "\\\n", "")
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}
