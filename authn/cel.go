package authn

import (
	"encoding/json"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// In edge, CEL expressions read the same values as in kube-apiserver. kube-apiserver's package
// k8s.io/apiserver/plugin/pkg/authenticator/token/oidc does not export the code that makes these
// values, so edge has its own.

// claimsValue returns a token's claims as a CEL value. A claim is decoded only when an expression
// reads it for the first time.
func claimsValue(c claims) *lazy.MapValue {
	m := lazy.NewMapValue(types.NewObjectType("kubernetes.claims"))
	for name, raw := range c {
		m.Append(name, func(*lazy.MapValue) ref.Val {
			var value any
			if err := json.Unmarshal(raw, &value); err != nil {
				return types.NewErr("claim %q failed to unmarshal: %w", name, err)
			}
			return unescaping(types.DefaultTypeAdapter.NativeToValue(value))
		})
	}
	return m
}

// userValue returns a user as a CEL value.
func userValue(u user.Info) *lazy.MapValue {
	m := lazy.NewMapValue(types.NewObjectType("kubernetes.UserInfo"))
	for name, get := range map[string]func() any{
		"username": func() any { return u.GetName() },
		"uid":      func() any { return u.GetUID() },
		"groups":   func() any { return u.GetGroups() },
		"extra":    func() any { return u.GetExtra() },
	} {
		m.Append(name, func(*lazy.MapValue) ref.Val { return unescaping(types.DefaultTypeAdapter.NativeToValue(get())) })
	}
	return m
}

// unescaping wraps a value for CEL expressions. Object members at any depth may have names that
// CEL's grammar does not allow. With unescaping, an expression can name them: a__dot__b names the
// member a.b. For top-level claims CEL expressions can do the same without unescaping.
func unescaping(value ref.Val) ref.Val {
	switch v := value.(type) {
	case traits.Mapper:
		return &unescapingMap{v}
	case traits.Lister:
		return &unescapingList{v}
	}
	return value
}

type unescapingMap struct{ traits.Mapper }

func (m *unescapingMap) Find(key ref.Val) (ref.Val, bool) {
	if escaped, ok := key.(types.String); ok {
		if name, ok := cel.Unescape(string(escaped)); ok {
			key = types.String(name)
		}
	}
	value, found := m.Mapper.Find(key)
	return unescaping(value), found
}

type unescapingList struct{ traits.Lister }

func (l *unescapingList) Get(index ref.Val) ref.Val { return unescaping(l.Lister.Get(index)) }

// stringList converts the value of an expression to a list of strings. Null, empty strings and
// empty lists add no element.
func stringList(value ref.Val) ([]string, error) {
	switch value.Type().TypeName() {
	case celgo.NullType.TypeName():
		return nil, nil
	case celgo.StringType.TypeName():
		if s := value.Value().(string); s != "" {
			return []string{s}, nil
		}
		return nil, nil
	case celgo.ListType(nil).TypeName():
	default:
		return nil, errNotStrings
	}
	var list []string
	add := func(element any) error {
		s, ok := element.(string)
		if !ok {
			return errNotStrings
		}
		if s != "" {
			list = append(list, s)
		}
		return nil
	}
	switch elements := value.Value().(type) {
	case []any:
		for _, element := range elements {
			if err := add(element); err != nil {
				return nil, err
			}
		}
	case []ref.Val:
		for _, element := range elements {
			if err := add(element.Value()); err != nil {
				return nil, err
			}
		}
	default:
		return nil, errNotStrings
	}
	return list, nil
}
