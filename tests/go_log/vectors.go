package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	origin = "gateway.example/log-3f1c"
	size   = 300
)

// A key whose secret is a hash of a word: every run makes the same.
type key struct {
	Signer   string `json:"signer"`
	Verifier string `json:"verifier"`
}

func newKey(name, word string) key {
	seed := sha256.Sum256([]byte(word))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	verifier, err := note.NewEd25519VerifierKey(name, public)
	must(err)
	prefix := verifier[:len(name)+len("+01234567+")]
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...))
	return key{Signer: "PRIVATE+KEY+" + prefix + secret, Verifier: verifier}
}

func sign(text string, keys ...key) string {
	var signers []note.Signer
	for _, key := range keys {
		signer, err := note.NewSigner(key.Signer)
		must(err)
		signers = append(signers, signer)
	}
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	must(err)
	return string(signed)
}

type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		hashes = append(hashes, m[index])
	}
	return hashes, nil
}

func record(index int64) string { return fmt.Sprintf(`{"index":%d}`, index) }

func printVectors(w io.Writer) error {
	now, next, other := newKey(origin, "now"), newKey(origin, "next"), newKey("witness.example", "other")
	var stored memory
	for index := range int64(size) {
		hashes, err := tlog.StoredHashes(index, []byte(record(index)), stored)
		must(err)
		stored = append(stored, hashes...)
	}
	root := func(size int64) tlog.Hash {
		hash, err := tlog.TreeHash(size, stored)
		must(err)
		return hash
	}
	checkpoint := func(size int64, keys ...key) string {
		hash := root(size)
		return sign(string(log.Checkpoint{Origin: origin, Size: uint64(size), Hash: hash[:]}.Marshal()), keys...)
	}

	var good []Case
	known := []string{now.Verifier}
	for _, text := range []string{"a\n", "a\n\n\nb\n\n", "ü — ✓\n"} {
		good = append(good, Case{Name: fmt.Sprintf("%q", text), Kind: "note", Text: sign(text, now), Keys: known})
	}
	good = append(good,
		Case{Name: "two signers", Kind: "note", Text: sign("a\n", now, next), Keys: []string{now.Verifier, next.Verifier}},
		Case{Name: "one of two is known", Kind: "note", Text: sign("a\n", now, other), Keys: known},
		Case{Name: "the second is known", Kind: "note", Text: sign("a\n", other, next), Keys: []string{next.Verifier}},
	)
	for _, size := range []int64{0, 1, 7, size} {
		name := fmt.Sprintf("size %d", size)
		good = append(good, Case{Name: name, Kind: "checkpoint", Text: checkpoint(size, now), Keys: known, Origin: origin})
	}
	good = append(good, Case{Name: "two keys", Kind: "checkpoint", Text: checkpoint(9, now, next), Keys: known, Origin: origin})
	for _, at := range [][2]int64{{0, 1}, {1, 2}, {5, 7}, {0, size}, {256, size}, {299, size}} {
		index, size := at[0], at[1]
		hashes, err := tlog.ProveRecord(size, index, stored)
		must(err)
		made := proof.TLogProof{Index: uint64(index), Checkpoint: []byte(checkpoint(size, now))}
		var texts []string
		for _, hash := range hashes {
			made.Hashes = append(made.Hashes, hash)
			texts = append(texts, hash.String())
		}
		name := fmt.Sprintf("record %d of %d", index, size)
		good = append(good, Case{Name: name, Kind: "record", Size: size, Root: root(size), Index: index, Record: record(index), Hashes: texts})
		add := func(name string) {
			good = append(good, Case{Name: name, Kind: "tlog_proof", Text: string(made.Marshal()), Keys: known, Origin: origin, Record: record(index)})
		}
		add(name)
		if index == 256 {
			made.ExtraData = []byte("what the log says beside")
			add(name + ", with extra data")
		}
	}
	for _, at := range [][2]int64{{1, 1}, {1, 2}, {3, 7}, {4, 7}, {256, size}, {257, size}} {
		old, size := at[0], at[1]
		hashes, err := tlog.ProveTree(size, old, stored)
		must(err)
		text := fmt.Sprintf("old %d\n", old)
		var texts []string
		for _, hash := range hashes {
			texts = append(texts, hash.String())
			text += hash.String() + "\n"
		}
		name := fmt.Sprintf("%d to %d", old, size)
		good = append(good,
			Case{Name: name, Kind: "tree", Size: size, Root: root(size), OldSize: old, OldRoot: root(old), Hashes: texts},
			Case{Name: name, Kind: "consistency_proof", Text: text + "\n" + checkpoint(size, now), Keys: known, Origin: origin, OldSize: old, OldRoot: root(old)},
		)
	}

	var cases []Case
	for _, c := range good {
		if err := c.check(); err != nil {
			return fmt.Errorf("%s %s: %w", c.Kind, c.Name, err)
		}
		c.Accepted = true
		cases = append(cases, c)
		for _, wrong := range tamper(c, next) {
			if wrong.check() == nil {
				return fmt.Errorf("%s %s is accepted", wrong.Kind, wrong.Name)
			}
			cases = append(cases, wrong)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\n\"source\": \"tests/go_log, with the argument vectors\",\n\"origin\": %q,\n\"keys\": ", origin)
	must(json.NewEncoder(&out).Encode([]key{now, next, other}))
	out.WriteString(",\n\"cases\": [\n")
	for i, c := range cases {
		if i > 0 {
			out.WriteString(",")
		}
		must(json.NewEncoder(&out).Encode(c))
	}
	out.WriteString("]\n}\n")
	_, err := w.Write(out.Bytes())
	return err
}

// tamper makes wrong cases of a good one, none of which may be accepted.
func tamper(c Case, next key) []Case {
	var wrong []Case
	add := func(name string, change func(c *Case)) {
		changed := c
		changed.Accepted = false
		changed.Hashes = append([]string{}, c.Hashes...)
		change(&changed)
		changed.Name = c.Name + ": " + name
		wrong = append(wrong, changed)
	}
	if c.Text != "" {
		end := strings.LastIndex(c.Text, "\n\n") + len("\n\n")
		before, signatures := c.Text[:end], c.Text[end:]
		add("without signatures", func(c *Case) { c.Text = before })
		add("another first letter", func(c *Case) { c.Text = "X" + c.Text[1:] })
		add("a control character", func(c *Case) { c.Text = c.Text[:1] + "\t" + c.Text[1:] })
		add("another key name", func(c *Case) { c.Text = before + strings.ReplaceAll(signatures, "— ", "— x") })
		add("no space", func(c *Case) { c.Text = before + strings.ReplaceAll(signatures, "— ", "—") })
		add("signature cut off", func(c *Case) { c.Text = c.Text[:len(c.Text)-3] + "\n" })
		add("an empty line at the end", func(c *Case) { c.Text += "\n" })
		add("an unknown key", func(c *Case) { c.Keys = []string{newKey(origin, "unknown").Verifier} })
		if len(c.Keys) == 1 && c.Keys[0] != next.Verifier && c.Name != "two keys" {
			add("a key of the same name", func(c *Case) { c.Keys = []string{next.Verifier} })
		}
	}
	if c.Origin != "" {
		add("another origin", func(c *Case) { c.Origin += "x" })
	}
	if c.Kind == "tlog_proof" || c.Kind == "record" {
		add("another record", func(c *Case) { c.Record += " " })
	}
	if c.Kind == "tree" || c.Kind == "consistency_proof" {
		add("another earlier tree", func(c *Case) { c.OldRoot[0] ^= 1 })
		add("a later earlier tree", func(c *Case) { c.OldSize++ })
	}
	if c.Kind == "tree" || c.Kind == "record" {
		add("another root", func(c *Case) { c.Root[31] ^= 1 })
		add("a hash too many", func(c *Case) { c.Hashes = append(c.Hashes, c.Root.String()) })
		add("a hash too many before", func(c *Case) { c.Hashes = append([]string{c.Root.String()}, c.Hashes...) })
		if len(c.Hashes) > 0 {
			add("a hash too few", func(c *Case) { c.Hashes = c.Hashes[1:] })
			add("the last hash missing", func(c *Case) { c.Hashes = c.Hashes[:len(c.Hashes)-1] })
			add("another hash", func(c *Case) { c.Hashes[0] = c.Root.String() })
		}
	}
	if c.Kind == "record" {
		add("another index", func(c *Case) { c.Index++ })
	}
	return wrong
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
