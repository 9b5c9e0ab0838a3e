package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"edge/e2e/testbed/binaries"
)

// Java returns a command that runs one of the programs in e2e/java. The program uses the server,
// the CA and the token in a kubeconfig from the method Kubeconfig.
func (c *Clients) Java(ctx context.Context, kubeconfig, program string, args ...string) (*exec.Cmd, error) {
	access, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	classes, err := c.compileJava(ctx)
	if err != nil {
		return nil, err
	}
	env := []string{"SERVER=" + access.Host, "CA=" + string(access.CAData), "TOKEN=" + access.BearerToken}
	// The programs run only briefly. These options make Java start faster, but run slower later.
	argv := append([]string{c.Bin.Java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx512m",
		"-cp", classes + ":" + c.Bin.OkHttp, program}, args...)
	return c.command(ctx, env, argv...), nil
}

// compileJava compiles the programs in e2e/java, once per run of the testbed, and returns the
// folder of the compiled classes.
func (c *Clients) compileJava(ctx context.Context) (string, error) {
	const name = "java"
	return c.MakeOnce(name, func(classes string) error {
		root, err := binaries.RepoRoot()
		if err != nil {
			return err
		}
		sources, err := filepath.Glob(filepath.Join(root, "e2e", name, "*.java"))
		if err != nil {
			return err
		}
		args := append([]string{"--release", binaries.JavaRelease, "-Xlint:all", "-Werror", "-d", classes, "-cp", c.Bin.OkHttp}, sources...)
		cmd := exec.CommandContext(ctx, c.Bin.Javac, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("testbed: compile e2e/java: %w\n%s", err, said)
		}
		return nil
	})
}
