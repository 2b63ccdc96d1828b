// Checks what transparency_log writes with the libraries of others: golang.org/x/mod/sumdb/note and tlog, and
// github.com/transparency-dev/formats.
//
// It reads an array of cases from standard input and prints an array with a verdict for each: "" if it is accepted, otherwise why it
// is not. With the argument "vectors" it prints cases of its own with what it thinks of them, for the tests of the other direction.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Case is one question. What a kind does not need is left out.
type Case struct {
	Name string `json:"name"`
	// note, checkpoint, record, tree, tlog_proof or consistency_proof.
	Kind string `json:"kind"`
	// The signed note, the signed checkpoint, or the text of the proof.
	Text string `json:"text,omitempty"`
	// Verifier keys; those of a log are signers of its checkpoints.
	Keys    []string  `json:"keys,omitempty"`
	Origin  string    `json:"origin,omitempty"`
	Record  string    `json:"record,omitempty"`
	Index   int64     `json:"index,omitempty"`
	Size    int64     `json:"size,omitempty"`
	Root    tlog.Hash `json:"root,omitzero"`
	OldSize int64     `json:"old_size,omitempty"`
	OldRoot tlog.Hash `json:"old_root,omitzero"`
	Hashes  []string  `json:"hashes,omitempty"`
	// Only in the vectors.
	Accepted bool `json:"accepted"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) == 2 && os.Args[1] == "vectors" {
		return printVectors(os.Stdout)
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var cases []Case
	if err := json.Unmarshal(input, &cases); err != nil {
		return err
	}
	verdicts := make([]string, len(cases))
	for i, c := range cases {
		if err := c.check(); err != nil {
			verdicts[i] = err.Error()
		}
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func (c Case) check() error {
	switch c.Kind {
	case "note":
		verifiers, err := c.verifiers()
		if err != nil {
			return err
		}
		_, err = note.Open([]byte(c.Text), note.VerifierList(verifiers...))
		return err
	case "checkpoint":
		_, err := c.tree([]byte(c.Text))
		return err
	case "record":
		hashes, err := parseHashes(c.Hashes)
		if err != nil {
			return err
		}
		return tlog.CheckRecord(hashes, c.Size, c.Root, c.Index, tlog.RecordHash([]byte(c.Record)))
	case "tree":
		hashes, err := parseHashes(c.Hashes)
		if err != nil {
			return err
		}
		return tlog.CheckTree(tlog.TreeProof(hashes), c.Size, c.Root, c.OldSize, c.OldRoot)
	case "tlog_proof":
		return c.checkTlogProof()
	case "consistency_proof":
		return c.checkConsistencyProof()
	}
	return fmt.Errorf("unknown kind %q", c.Kind)
}

func (c Case) verifiers() ([]note.Verifier, error) {
	var verifiers []note.Verifier
	for _, key := range c.Keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, verifier)
	}
	return verifiers, nil
}

// tree is what a checkpoint says, if the first of the keys has signed it.
func (c Case) tree(text []byte) (tlog.Tree, error) {
	verifiers, err := c.verifiers()
	if err != nil {
		return tlog.Tree{}, err
	}
	checkpoint, _, _, err := log.ParseCheckpoint(text, c.Origin, verifiers[0], verifiers[1:]...)
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(checkpoint.Hash) != tlog.HashSize {
		return tlog.Tree{}, errors.New("the root is no hash")
	}
	return tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Hash)}, nil
}

func (c Case) checkTlogProof() error {
	var parsed proof.TLogProof
	if err := parsed.Unmarshal([]byte(c.Text)); err != nil {
		return err
	}
	tree, err := c.tree(parsed.Checkpoint)
	if err != nil {
		return err
	}
	var hashes tlog.RecordProof
	for _, hash := range parsed.Hashes {
		hashes = append(hashes, tlog.Hash(hash))
	}
	return tlog.CheckRecord(hashes, tree.N, tree.Hash, int64(parsed.Index), tlog.RecordHash([]byte(c.Record)))
}

// The form of what a witness is sent: https://c2sp.org/tlog-witness. The library has it in its server alone.
func (c Case) checkConsistencyProof() error {
	head, checkpoint, ok := strings.Cut(c.Text, "\n\n")
	if !ok {
		return errors.New("no empty line")
	}
	lines := strings.Split(head, "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	if old, err := strconv.ParseInt(size, 10, 64); !ok || err != nil || old != c.OldSize {
		return errors.New("another old size")
	}
	hashes, err := parseHashes(lines[1:])
	if err != nil {
		return err
	}
	tree, err := c.tree([]byte(checkpoint))
	if err != nil {
		return err
	}
	return tlog.CheckTree(tlog.TreeProof(hashes), tree.N, tree.Hash, c.OldSize, c.OldRoot)
}

func parseHashes(texts []string) (tlog.RecordProof, error) {
	hashes := tlog.RecordProof{}
	for _, text := range texts {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}
