package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	clientcmdlatest "k8s.io/client-go/tools/clientcmd/api/latest"

	"edge/authn"
)

// pages returns the documents that explain how to set up edge, by name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, name := range []string{
		"README.md", "docs/configuration.md", "docs/connect.md", "docs/identity.md", "docs/limits.md", "docs/migration.md",
		"docs/operations.md", "docs/security.md", "docs/troubleshooting.md", "docs/versions.md", "deploy/edge.yaml", "deploy/options.yaml",
	} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

var yamlBlock = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")

// TestShownYAML checks that each YAML in the documents is valid for the program that reads it,
// including the names of all fields.
func TestShownYAML(t *testing.T) {
	t.Parallel()
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	kinds := map[string]int{}
	for name, text := range pages(t) {
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			shown := strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n")[1:]
			var what struct{ Kind string }
			if err := yaml.Unmarshal([]byte(shown), &what); err != nil {
				t.Errorf("%s: %v\n%s", name, err, shown)
				continue
			}
			kinds[what.Kind]++
			var err error
			switch what.Kind {
			case "AuthenticationConfiguration":
				file := filepath.Join(t.TempDir(), "authn.yaml")
				if err = os.WriteFile(file, []byte(shown), 0o600); err == nil {
					_, err = authn.New(authn.Options{File: file})
				}
			case "": // TestScrapeConfiguration in e2e gives it to Prometheus
				if !strings.HasPrefix(shown, "scrape_configs:\n") {
					t.Errorf("%s: this is neither Kubernetes' YAML nor Prometheus':\n%s", name, shown)
				}
			case "Config":
				_, err = runtime.Decode(clientcmdlatest.Codec, []byte(shown))
			default:
				_, _, err = strict.Decode([]byte(shown), nil, nil)
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, shown)
			}
		}
	}
	if kinds["AuthenticationConfiguration"] == 0 || kinds["Config"] == 0 || kinds["ClusterRole"] == 0 {
		t.Errorf("only these were found: %v", kinds)
	}
}

// notOurs are flags of kubectl, helm, docker, kubelogin, curl, kube-oidc-proxy, Prometheus and
// kube-controller-manager that the documents mention, and the placeholder --name.
var notOurs = map[string]bool{
	"kube-context": true, "as": true, "as-group": true, "as-uid": true, "as-user-extra": true,
	"clusterrole": true, "group": true, "cert": true, "key": true, "namespace": true, "from-file": true, "watch": true, "raw": true,
	"oidc-extra-scope": true, "name": true, "api-audiences": true, "version": true, "build-arg": true, "type": true, "tail": true, "prefix": true, "grace-period": true, "root-ca-file": true, "enable-feature": true,
}

var flagName = regexp.MustCompile(`(?:^|[\s"'(\x60\[/=])--([a-z][a-z0-9-]*)`)

// TestNamedFlags checks that each flag in the documents is a flag of some edge command.
// "--audit-log-*" needs at least one flag with this prefix.
func TestNamedFlags(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"help": true}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, name := range flagNames(cmd) {
			known[name] = true
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRootCommand())
	named := 0
	for page, text := range pages(t) {
		for _, found := range flagName.FindAllStringSubmatch(text, -1) {
			name := found[1]
			named++
			if known[name] || notOurs[name] {
				continue
			}
			if prefix, ok := strings.CutSuffix(name, "-"); ok && anyWithPrefix(known, prefix+"-") {
				continue
			}
			t.Errorf("%s: edge has no flag --%s", page, name)
		}
	}
	if named < 50 {
		t.Errorf("only %d flags were found", named)
	}
}

func anyWithPrefix(names map[string]bool, prefix string) bool {
	for name := range names {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func flagNames(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

var (
	corpusRow = regexp.MustCompile(`(?m)^\| ([A-Z][A-Za-z0-9, ]*) \| .* \|$`)
	testFunc  = regexp.MustCompile(`(?m)^func (?:Test|Fuzz)([A-Za-z0-9]+)\(`)
)

// TestCorpusIsTests checks that each attack in docs/security.md names a test that exists.
func TestCorpusIsTests(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
			tests[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, corpus, ok := strings.Cut(pages(t)["docs/security.md"], "## The attack corpus")
	rows := corpusRow.FindAllStringSubmatch(corpus, -1)
	if !ok || len(rows) < 30 {
		t.Fatalf("only %d rows were found", len(rows))
	}
	for _, row := range rows {
		for name := range strings.SplitSeq(row[1], ", ") {
			if !tests[name] {
				t.Errorf("there is no Test%s", name)
			}
		}
	}
}
