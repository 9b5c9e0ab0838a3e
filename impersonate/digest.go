package impersonate

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
)

// Digest returns a hash that identifies an identity. The hash covers the requestor and the user
// whom edge impersonates upstream, each with UID, groups and extras. The hash also covers the token
// and the Impersonate-* headers that are passed through. Identities that differ in any of these
// have different digests. A digest reveals none of them. For a request as [EdgeItself], Digest does
// not cover the Impersonate-* headers.
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

// digest hashes texts and lists. It writes each text after its length, and each list after its
// count, so that different identities never give the same bytes.
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
