package wycheproof

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of vectors. The fields are those of all its kinds.
type file struct {
	NumberOfTests int
	TestGroups    []group
}

type group struct {
	KeySize, IvSize, TagSize int // in bits
	Sha, MgfSha              string
	SLen                     int
	PublicKeyDer             hexBytes
	Tests                    []vector
}

type vector struct {
	TcID    int
	Comment string
	Flags   []string
	Result  string

	Key, Iv, Aad, Msg, Ct, Tag hexBytes
	Ikm, Salt, Info, Okm       hexBytes
	Size                       int
	Public, Private, Shared    hexBytes
	Sig                        hexBytes
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// A feed gives a vector to our code. It says what is wrong with what came of
// it, or why the vector cannot be fed; empty strings: ours does as it should.
type feed func(g *group, v *vector) (wrong, cannot string)

// TestWycheproof feeds every file of testdata, and says how many vectors ran. A
// file of which nothing ran is a failure, as is one that nobody feeds.
func TestWycheproof(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	total := 0
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), "_test.json.gz")
		feeds := feedsOf(name)
		if len(feeds) == 0 {
			t.Errorf("nobody feeds %s", name)
		}
		f := read(t, path)
		for as, give := range feeds {
			t.Run(name+"/"+as, func(t *testing.T) { total += f.run(t, give) })
		}
	}
	t.Logf("%d vectors of %d files", total, len(files))
}

func (f *file) run(t *testing.T, give feed) int {
	ran, seen, skipped := map[string]int{}, 0, map[string]int{}
	for i := range f.TestGroups {
		g := &f.TestGroups[i]
		for j := range g.Tests {
			v := &g.Tests[j]
			seen++
			switch wrong, cannot := give(g, v); {
			case cannot != "":
				skipped[cannot]++
			case wrong != "":
				t.Errorf("vector %d (%s, %v, %s): %s", v.TcID, v.Comment, v.Flags, v.Result, wrong)
			default:
				ran[v.Result]++
			}
		}
	}
	sum := 0
	for _, n := range ran {
		sum += n
	}
	if seen != f.NumberOfTests {
		t.Errorf("%d vectors, the file says %d", seen, f.NumberOfTests)
	}
	if sum == 0 {
		t.Error("no vector ran")
	}
	t.Logf("%d of %d ran %v; not fed: %v", sum, seen, ran, skipped)
	return sum
}

func read(t *testing.T, path string) *file {
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	f := &file{}
	if err := json.NewDecoder(z).Decode(f); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

// feedsOf returns how the vectors of a file are fed, by the name of our user of
// the primitive.
func feedsOf(name string) map[string]feed {
	switch {
	case name == "aes_gcm":
		return map[string]feed{"AEAD": feedAEAD(name), "SK": feedSK(name), "ESP": feedESP(name), "GCM of ESP": feedGCM}
	case name == "chacha20_poly1305":
		return map[string]feed{"AEAD": feedAEAD(name), "SK": feedSK(name), "ESP": feedESP(name)}
	case name == "aes_cbc_pkcs5":
		return map[string]feed{"CBC": feedCBC}
	case strings.Contains(name, "cbc_hs"):
		return map[string]feed{"CBC and HMAC": feedCBCHMAC}
	case strings.HasPrefix(name, "hmac_"):
		return map[string]feed{"PRF": feedPRF(name), "INTEG": feedInteg(name)}
	case strings.HasPrefix(name, "hkdf_"):
		return map[string]feed{"prf+": feedPlus(name)}
	case name == "x25519", strings.HasPrefix(name, "ecdh_"):
		return map[string]feed{"KE": feedKE(name)}
	case strings.HasPrefix(name, "ecdsa_"), name == "ed25519", strings.HasPrefix(name, "rsa_"):
		return map[string]feed{"AUTH": feedAuth(name)}
	}
	return nil
}
