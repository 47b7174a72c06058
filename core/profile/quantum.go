package profile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/core/ike/auth"
	"sallyport/core/profile/settings"
	"sallyport/core/transform"
)

// The values of IKE.Quantum. Without one quantum-safe key exchange is preferred
// where the built-in algorithms are in use, and those that a profile names are
// left as they are.
const (
	QuantumPrefer  = "prefer"
	QuantumRequire = "require"
	QuantumOff     = "off"
)

// A PPK is a post-quantum pre-shared key (RFC 8784).
type PPK struct {
	ID     string `toml:"id"`               // as both ends know it
	Secret string `toml:"secret,omitempty"` // names it in the secret store
}

// Bounds of post-quantum pre-shared keys.
const (
	minPPK  = 16 // bytes
	goodPPK = 32
	maxPPKs = 256
)

func ppkName(connection string, i int) string { return connection + "+ppk-" + strconv.Itoa(i+1) }

// checkPPK says what is wrong with a key.
func checkPPK(key []byte) error {
	switch {
	case len(key) < minPPK:
		return fmt.Errorf("the post-quantum pre-shared key has %d bytes: at least %d random ones are needed, and %d are what RFC 8784 asks for", len(key), minPPK, goodPPK)
	case len(key) > maxPSK:
		return fmt.Errorf("the post-quantum pre-shared key is longer than %d bytes", maxPSK)
	}
	return nil
}

// addPPK stores a key under name.
func (b *Bundle) addPPK(name string, key []byte) {
	b.Secrets[name] = bytes.Clone(key)
	if len(key) < goodPPK {
		b.warn(fmt.Sprintf("The post-quantum pre-shared key has %d bytes; RFC 8784 asks for %d random ones.", len(key), goodPPK))
	}
}

// ProposalsFor are the proposals that the setting makes of a list.
func (k *IKE) ProposalsFor(list []transform.Proposal) []transform.Proposal {
	switch k.Quantum {
	case QuantumPrefer:
		return transform.Hybrid(list)
	case QuantumRequire:
		return transform.QuantumSafe(transform.Hybrid(list))
	case QuantumOff:
		return transform.Classical(list)
	}
	return list
}

// quantum checks the settings of quantum-safety.
func (v *validator) quantum(c *Connection) {
	k := &c.IKE
	switch k.Quantum {
	case "", QuantumPrefer, QuantumRequire, QuantumOff:
	default:
		v.bad("ike.quantum", "%s is none of prefer, require, off", shown(k.Quantum))
		return
	}
	if list, err := transform.ParseProposals(transform.ProtoIKE, k.Proposals); err == nil && len(k.ProposalsFor(list)) == 0 {
		v.bad("ike.quantum", "leaves none of ike.proposals")
	}
	for i, ch := range c.Children {
		list, err := transform.ParseProposals(transform.ProtoESP, ch.Proposals)
		if err == nil && k.Quantum == QuantumOff && len(transform.Classical(list)) == 0 {
			v.bad(at("children", i)+".proposals", "ike.quantum = \"off\" leaves none of them")
		}
	}
	if k.Childless && c.IsResponder() {
		v.bad("ike.childless", "is for an initiator: a responder leaves it to its peers")
	}
	switch {
	case len(k.PPKs) == 0 && k.PPKRequired:
		v.bad("ike.ppk_required", "needs [[ike.ppks]]: the post-quantum pre-shared key")
	case len(k.PPKs) > maxPPKs:
		v.bad("ike.ppks", "more than %d", maxPPKs)
		return
	case len(k.PPKs) > 1 && !c.IsResponder():
		v.bad("ike.ppks", "an initiator uses one")
	}
	seen := map[string]bool{}
	for i, p := range k.PPKs {
		field := at("ike.ppks", i)
		switch {
		case p.ID == "" || len(p.ID) > 1024 || !clean(p.ID) || PPKID(p.ID) == nil:
			v.bad(field+".id", "%s is no name of a key", shown(p.ID))
		case seen[p.ID]:
			v.bad(field+".id", "%s is there twice", shown(p.ID))
		}
		seen[p.ID] = true
		if p.Secret == "" && v.mode == stored {
			v.bad(field+".secret", "is missing: it names the post-quantum pre-shared key in the secret store")
		}
		v.fileName(field+".secret", p.Secret)
	}
}

// PPKID returns what is said of a key on the wire, in which its name is written as
// an identity is, as strongSwan does; nil for a name that cannot be.
func PPKID(name string) []byte {
	id, err := auth.ParseIdentity(name)
	if err != nil || id.IsAny() || len(id.Data) == 0 {
		return nil
	}
	return id.Data
}

// ppks stores the post-quantum pre-shared keys.
func (im *tomlImport) ppks(b *Bundle, k *IKE) {
	b.Connection.IKE.PPKs = slices.Clone(k.PPKs)
	for i, p := range k.PPKs {
		name := ppkName(b.Connection.Name, i)
		b.Connection.IKE.PPKs[i].Secret = name
		im.listed(at("ike.ppks", i)+".secret", p.Secret, "the post-quantum pre-shared key "+shown(p.ID), &b.Keep.PPKs, func(text []byte) error {
			key, err := decodeSecret(string(text))
			if err == nil {
				err = checkPPK(key)
			}
			if err != nil {
				return err
			}
			b.addPPK(name, key)
			return nil
		})
	}
}

// keepPPKs copies the stored post-quantum pre-shared keys, by their names.
func (s *Store) keepPPKs(b *Bundle, old *Connection) error {
	for i := range b.Connection.IKE.PPKs {
		p := &b.Connection.IKE.PPKs[i]
		if b.Secrets[p.Secret] != nil {
			continue
		}
		before := slices.IndexFunc(old.IKE.PPKs, func(o PPK) bool { return o.ID == p.ID })
		if before < 0 {
			return lacks(at("ike.ppks", i)+".secret", "the post-quantum pre-shared key "+shown(p.ID))
		}
		if err := s.keepSecret(b, &p.Secret, old.IKE.PPKs[before].Secret); err != nil {
			return err
		}
	}
	return nil
}

// A filePPK is one of a ppk* section of secrets.
type filePPK struct {
	pos   settings.Pos
	path  string
	id    string
	value []byte
	err   error
}

// filePPKs returns the ppk* secrets of the file, one for each of their names.
func (im *swanctl) filePPKs() []filePPK {
	all := im.tree.Section("secrets")
	if all == nil {
		return nil
	}
	var out []filePPK
	for _, sec := range all.Sections {
		if !strings.HasPrefix(sec.Name, "ppk") {
			continue
		}
		p := filePPK{pos: sec.Pos, path: "secrets." + plain(sec.Name), err: errors.New("the section holds no secret")}
		var ids []string
		for _, k := range sec.Keys {
			switch {
			case k.Name == "secret":
				p.pos = k.Pos
				if p.value, p.err = decodeSecret(k.Value); p.err == nil {
					p.err = checkPPK(p.value)
				}
			case strings.HasPrefix(k.Name, "id") && k.Value != "":
				ids = append(ids, k.Value)
			}
		}
		for _, id := range ids {
			p.id = id
			out = append(out, p)
		}
	}
	return out
}

// quantum reads what a connection says of post-quantum pre-shared keys, and of an
// IKE SA without a child. A responder takes every key that its ppk_id fits.
func (v *view) quantum() {
	c := &v.b.Connection
	switch mode, pos := v.get("childless"); mode {
	case "", "allow", "never":
	case "prefer", "force":
		if c.IKE.Childless = !c.IsResponder(); mode == "force" && c.IKE.Childless {
			v.note(pos, v.field("childless"), "a gateway that cannot is asked for the first child with the IKE SA")
		}
	default:
		v.malformed(pos, v.field("childless"), "%s is none of allow, prefer, force, never", shown(mode))
	}
	wanted, pos := v.get("ppk_id")
	required, _ := v.get("ppk_required")
	c.IKE.PPKRequired = has(yes, required)
	if wanted == "" && !c.IsResponder() {
		if c.IKE.PPKRequired {
			v.malformed(pos, v.field("ppk_required"), "needs ppk_id: which key it is")
		}
		return
	}
	pattern, err := auth.ParseIdentity(wanted)
	if err != nil {
		v.malformed(pos, v.field("ppk_id"), "%s is no name of a key", shown(wanted))
		return
	}
	for _, p := range v.im.filePPKs() {
		id, err := auth.ParseIdentity(p.id)
		if err != nil || wanted != "" && !id.Matches(pattern) {
			continue
		}
		if p.err != nil {
			v.malformed(p.pos, p.path, "%v", p.err)
			return
		}
		name := ppkName(c.Name, len(c.IKE.PPKs))
		c.IKE.PPKs = append(c.IKE.PPKs, PPK{ID: p.id, Secret: name})
		v.b.addPPK(name, p.value)
	}
	if len(c.IKE.PPKs) == 0 && (wanted != "" || c.IKE.PPKRequired) {
		v.malformed(pos, v.field("ppk_id"), "there is no ppk section in secrets for it")
	}
}

// ppkIDs lists the names of the keys.
func ppkIDs(c *Connection) []string {
	var out []string
	for _, p := range c.IKE.PPKs {
		out = append(out, p.ID)
	}
	return out
}
