package authn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
)

// maxConfigBytes bounds the configuration file, in bytes. The file comes from a ConfigMap or a
// Secret, which Kubernetes limits to the same size.
const maxConfigBytes = 1 << 20

// authenticationConfig is an AuthenticationConfiguration, read from a file or made from flags,
// together with settings that this API type lacks. Its expressions are not compiled yet:
// [compileRules] compiles them.
type authenticationConfig struct {
	api    *apiserver.AuthenticationConfiguration
	source []byte   // content of the configuration file; nil: the configuration is made from flags
	algs   []string // signing algorithms that are accepted from all issuers
	caFile string   // path in --oidc-ca-file, read again at each fetch of keys; empty: the CA certificates are in the field api
}

// decoder decodes all versions of the API group apiserver.config.k8s.io. It refuses unknown and
// duplicate fields.
var decoder = sync.OnceValue(func() runtime.Decoder {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()
})

// parseConfig decodes a configuration file. It does not check whether the content is valid;
// authenticationConfig.validate does.
func parseConfig(data []byte) (*authenticationConfig, error) {
	if err := checkOneDocument(data); err != nil {
		return nil, err
	}
	object, err := runtime.Decode(decoder(), data)
	if runtime.IsNotRegisteredError(err) || runtime.IsMissingKind(err) || runtime.IsMissingVersion(err) {
		// Do not return the decoder's error: it is written for programmers, and may quote the whole
		// file.
		return nil, otherKind(data)
	}
	if err != nil {
		return nil, err
	}
	config, ok := object.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return nil, otherKind(data)
	}
	return &authenticationConfig{api: config, source: data, algs: signingAlgs}, nil
}

// otherKind returns an error that names the kind and apiVersion in a file that is no
// AuthenticationConfiguration.
func otherKind(data []byte) error {
	var is struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	_ = yaml.Unmarshal(data, &is) // ignore the error, because the decoder has parsed data before; a field that data lacks stays empty
	return fmt.Errorf("kind %s of apiVersion %s is not AuthenticationConfiguration of apiserver.config.k8s.io/v1 or v1beta1", quote(is.Kind), quote(is.APIVersion))
}

// checkOneDocument refuses input that the decoder would accept silently: an empty file, and a
// second YAML document.
func checkOneDocument(data []byte) error {
	if json.Valid(data) {
		return nil // the input is JSON; the decoder accepts only one JSON value, up to the end of the input
	}
	documents := yaml.NewDecoder(bytes.NewReader(data))
	for n := 0; ; {
		var node yaml.Node
		switch err := documents.Decode(&node); {
		case errors.Is(err, io.EOF) && n == 0:
			return errors.New("the file is empty")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if len(node.Content) == 1 && node.Content[0].Tag == "!!null" {
			continue
		}
		if n++; n > 1 {
			return errors.New("the file has more than one YAML document")
		}
	}
}

// validate checks the whole authentication configuration and returns all errors together.
func (c *authenticationConfig) validate() error {
	errs := validation.ValidateAuthenticationConfiguration(compiler(), c.api, nil)
	for i, jwt := range c.api.JWT {
		if selector := jwt.Issuer.EgressSelectorType; selector != "" {
			path := field.NewPath("jwt").Index(i).Child("issuer", "egressSelectorType")
			errs = append(errs, field.Forbidden(path, "edge has no egress selectors: it connects to issuers directly, or through the proxy in its environment variables"))
		}
	}
	return errs.ToAggregate()
}

// maxConfigErrorBytes bounds the error text about a configuration file, in bytes. The error text is
// longer, and then cut, only for a file with very many errors.
const maxConfigErrorBytes = 4 << 10

// fileError returns an error of one line about the configuration file. It hides passwords in URLs
// that err quotes.
func fileError(name string, err error) error {
	text := userInfo.ReplaceAllString(err.Error(), "//REDACTED@")
	return errors.New("--authentication-config: " + oneLine(name+": "+text, maxConfigErrorBytes))
}
