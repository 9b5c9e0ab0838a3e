package impersonate

import (
	"maps"

	"k8s.io/apiserver/pkg/authentication/user"
)

// clientIPKey is the extra key under which edge sends the client's IP address to the API server.
const clientIPKey = "remote-client-ip"

// setsItself reports whether edge itself sets an extra key, so that PolicyConfig.Extra must not
// contain the key.
func (c PolicyConfig) setsItself(key string) bool {
	if key == clientIPKey {
		return c.ClientIP
	}
	return isRecord(key) || key == user.CredentialIDKey
}

// addExtra adds the extras that the administrator wants on every request.
func (p *Policy) addExtra(id *Identity, clientIP string) {
	if len(p.extra) == 0 && !p.clientIP {
		return
	}
	extra := make(map[string][]string, len(id.Extra)+len(p.extra)+1)
	maps.Copy(extra, id.Extra)
	maps.Copy(extra, p.extra)
	if p.clientIP {
		delete(extra, clientIPKey)
		if clientIP != "" && intact(clientIP) {
			extra[clientIPKey] = []string{clientIP}
		}
	}
	id.Extra = extra
}
