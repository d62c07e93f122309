// Command check verifies a log's checkpoints, proofs, consistency proofs and tiles with Go's own libraries.
//
//	check <verifier key> <folder of tiles> <consistency proof> <older checkpoint> <proof>...
//	check cosigned <verifier key> <verifier key of a witness> <checkpoint>
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(parts ...string) []byte {
	content, err := os.ReadFile(filepath.Join(parts...))
	must(err)
	return content
}

func open(text []byte, verifier note.Verifier) *log.Checkpoint {
	checkpoint, _, _, err := log.ParseCheckpoint(text, verifier.Name(), verifier)
	must(err)
	return checkpoint
}

func checkTiles(folder string, checkpoint *log.Checkpoint) {
	rows := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for first := uint64(0); first < checkpoint.Size; first += 256 {
		width := min(256, checkpoint.Size-first)
		name := fmt.Sprintf("%03d", first/256)
		if width < 256 {
			name += fmt.Sprintf(".p/%d", width)
		}
		hashes, entries := read(folder, "tile", "0", name), read(folder, "tile", "entries", name)
		for len(hashes) > 0 {
			length := int(binary.BigEndian.Uint16(entries))
			leaf := rfc6962.DefaultHasher.HashLeaf(entries[2 : 2+length])
			if !bytes.Equal(leaf, hashes[:sha256.Size]) {
				must(fmt.Errorf("%s: an entry does not hash to its leaf", name))
			}
			must(rows.Append(leaf, nil))
			hashes, entries = hashes[sha256.Size:], entries[2+length:]
		}
	}
	root, err := rows.GetRootHash(nil)
	must(err)
	if !bytes.Equal(root, checkpoint.Hash) {
		must(fmt.Errorf("the tiles do not hash to the root"))
	}
}

func checkConsistency(text, older []byte, verifier note.Verifier) {
	head, signed, _ := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	before, after := open(older, verifier), open(signed, verifier)
	if lines[0] != fmt.Sprintf("old %d", before.Size) {
		must(fmt.Errorf("the consistency proof starts with %q", lines[0]))
	}
	var path [][]byte
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		must(err)
		path = append(path, hash)
	}
	must(proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, after.Size, path, before.Hash, after.Hash))
}

func checkProof(text []byte, verifier note.Verifier) {
	var parsed tlogproof.TLogProof
	must(parsed.Unmarshal(text))
	checkpoint := open(parsed.Checkpoint, verifier)
	var path [][]byte
	for _, hash := range parsed.Hashes {
		path = append(path, hash[:])
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(parsed.ExtraData)
	must(proof.VerifyInclusion(rfc6962.DefaultHasher, parsed.Index, checkpoint.Size, leaf, path, checkpoint.Hash))
}

func checkCosigned(log, witness, checkpoint string) {
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(log))))
	must(err)
	cosigner, err := cosigned.NewVerifierForCosignatureV1(strings.TrimSpace(string(read(witness))))
	must(err)
	opened, err := note.Open(read(checkpoint), note.VerifierList(verifier, cosigner))
	must(err)
	fmt.Println("verified", len(opened.Sigs), "signatures")
}

func main() {
	if os.Args[1] == "cosigned" {
		checkCosigned(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(os.Args[1]))))
	must(err)
	checkTiles(os.Args[2], open(read(os.Args[2], "checkpoint"), verifier))
	checkConsistency(read(os.Args[3]), read(os.Args[4]), verifier)
	for _, name := range os.Args[5:] {
		checkProof(read(name), verifier)
	}
	fmt.Println("verified", len(os.Args)-5, "proofs")
}
