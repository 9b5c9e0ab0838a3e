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

// maxConfigBytes bounds the configuration file: it comes out of a ConfigMap or Secret, which is no larger.
const maxConfigBytes = 1 << 20

// authenticationConfig is an AuthenticationConfiguration, out of a file or made of flags, with what it does not say
// itself. It is not compiled yet: see [compileRules].
type authenticationConfig struct {
	api    *apiserver.AuthenticationConfiguration
	source []byte   // the file's content; nil: flags
	algs   []string // accepted for all issuers
	caFile string   // of the one issuer that flags describe; read again at each fetch. Empty: only what config has
}

// decoder knows all versions of the group, and refuses fields that are unknown or come twice.
var decoder = sync.OnceValue(func() runtime.Decoder {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()
})

// parseConfig decodes a configuration file. Whether what it says makes sense is validate's question.
func parseConfig(data []byte) (*authenticationConfig, error) {
	if err := checkOneDocument(data); err != nil {
		return nil, err
	}
	object, err := runtime.Decode(decoder(), data)
	if runtime.IsNotRegisteredError(err) || runtime.IsMissingKind(err) || runtime.IsMissingVersion(err) {
		return nil, otherKind(data) // the decoder's words are for programmers, and may quote all of the file
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

// otherKind says what the file is instead.
func otherKind(data []byte) error {
	var is struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	_ = yaml.Unmarshal(data, &is) // which the decoder has read: what is missing stays empty
	return fmt.Errorf("kind %s of apiVersion %s is not AuthenticationConfiguration of apiserver.config.k8s.io/v1 or v1beta1", quote(is.Kind), quote(is.APIVersion))
}

// checkOneDocument refuses what the decoder would pass over in silence: nothing, and a second YAML document.
func checkOneDocument(data []byte) error {
	if json.Valid(data) {
		return nil // one value, to the end
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

// validate returns all that is wrong with the whole configuration.
func (c *authenticationConfig) validate() error {
	errs := validation.ValidateAuthenticationConfiguration(compiler(), c.api, nil)
	for i, jwt := range c.api.JWT {
		if selector := jwt.Issuer.EgressSelectorType; selector != "" {
			path := field.NewPath("jwt").Index(i).Child("issuer", "egressSelectorType")
			errs = append(errs, field.Forbidden(path, "edge has no egress selectors: it reaches issuers directly, or by the proxy in its environment"))
		}
	}
	return errs.ToAggregate()
}

// maxConfigErrorBytes bounds what is said about a configuration file: all its errors, unless it has very many.
const maxConfigErrorBytes = 4 << 10

// fileError makes one line of what is wrong with a configuration file.
func fileError(name string, err error) error {
	text := userInfo.ReplaceAllString(err.Error(), "//REDACTED@")
	return errors.New("--authentication-config: " + oneLine(name+": "+text, maxConfigErrorBytes))
}
