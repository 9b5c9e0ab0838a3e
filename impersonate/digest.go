package impersonate

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
)

// Digest stands for an identity: for who asked and as whom the request goes upstream, each with uid, groups and extras,
// and with the token and the Impersonate-* headers that are passed through. Two identities that differ in any of these
// have two digests; it tells nobody what is in it. What the requests of [EdgeItself] name in their headers is not part
// of it.
func (id Identity) Digest() [sha256.Size]byte {
	d := digest{sha256.New()}
	d.flag(id.edgeItself)
	d.flag(id.Nested)
	d.texts(id.Name, id.UID)
	d.list(id.Groups)
	d.lists(id.Extra)
	d.flag(id.Requestor != nil)
	if u := id.Requestor; u != nil {
		d.texts(u.GetName(), u.GetUID())
		d.list(u.GetGroups())
		d.lists(u.GetExtra())
	}
	d.texts(id.senderToken)
	d.lists(id.senderHeaders)
	return [sha256.Size]byte(d.to.Sum(nil))
}

// digest writes each text behind its length and each list behind its count, so that no two identities are the same bytes.
type digest struct{ to hash.Hash }

func (d digest) number(n int) {
	var b [binary.MaxVarintLen64]byte
	d.to.Write(b[:binary.PutUvarint(b[:], uint64(n))])
}

func (d digest) flag(set bool) {
	n := 0
	if set {
		n = 1
	}
	d.number(n)
}

func (d digest) texts(all ...string) {
	for _, text := range all {
		d.number(len(text))
		d.to.Write([]byte(text))
	}
}

func (d digest) list(all []string) {
	d.number(len(all))
	d.texts(all...)
}

func (d digest) lists(all map[string][]string) {
	d.number(len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		d.texts(key)
		d.list(all[key])
	}
}
