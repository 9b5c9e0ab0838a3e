package e2e

import (
	"bufio"
	"context"
	"regexp"
	"testing"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

var serving = regexp.MustCompile(`Starting to serve on (127\.0\.0\.1:\d+)`)

// TestPythonBehindKubectlProxy checks WebSockets of the Python client behind `kubectl proxy`, which
// adds the token. The client sends an Origin, and a Host that is not edge's.
func TestPythonBehindKubectlProxy(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, path := range matrixPaths {
			t.Run(path, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				// By default, kubectl proxy itself refuses exec, so switch its filter off.
				cmd := s.kubectl(t, path, "1.37", "alice").Command(ctx, "proxy", "--port=0", "--disable-filter=true")
				out, err := cmd.StdoutPipe()
				if err == nil {
					err = run.Start(cmd)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					cancel()
					cmd.Wait()
				}()
				line, err := bufio.NewReader(out).ReadString('\n')
				at := serving.FindStringSubmatch(line)
				if at == nil {
					t.Fatalf("%q, %v", line, err)
				}
				file, err := bed.Kubeconfig(cluster.Access{Server: "http://" + at[1]})
				if err != nil {
					t.Fatal(err)
				}
				tr := &trial{t: t, site: s, path: path, file: file, name: slug(t.Name())}
				for _, v := range pythonVerbs {
					if err := v.run(ctx, tr); err != nil {
						t.Errorf("%s: %v", v.name, err)
					}
				}
			})
		}
	})
}
