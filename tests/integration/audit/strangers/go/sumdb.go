package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The Go checksum database's own packages: note for the signature, tlog for the tree, proofs and tiles.

const (
	bundleWidth   = 256
	provenRecords = 300
)

type sumdbVerdict struct {
	Size    int64  `json:"size"`
	Root    string `json:"root"`
	Proofs  int    `json:"proofs"`
	Earlier int64  `json:"earlier"`
}

func judgeBySumdb(arguments []string) (any, error) {
	directory := arguments[0]
	verifier, err := note.NewVerifier(arguments[1])
	if err != nil {
		return nil, err
	}
	tree, err := openCheckpoint(filepath.Join(directory, "checkpoint"), verifier)
	if err != nil {
		return nil, err
	}
	hashes := tlog.TileHashReader(tree, tileFiles{directory})
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return nil, fmt.Errorf("tree hash from tiles: %w", err)
	}
	if root != tree.Hash {
		return nil, errors.New("tree hash from tiles differs from the checkpoint's")
	}
	if err := checkEntries(directory, tree, hashes); err != nil {
		return nil, err
	}
	proofs, err := checkProofs(tree, hashes)
	if err != nil {
		return nil, err
	}
	verdict := sumdbVerdict{Size: tree.N, Root: tree.Hash.String(), Proofs: proofs}
	if len(arguments) == 3 {
		earlier, err := openCheckpoint(arguments[2], verifier)
		if err != nil {
			return nil, fmt.Errorf("earlier checkpoint: %w", err)
		}
		if err := checkConsistency(tree, earlier, hashes); err != nil {
			return nil, err
		}
		verdict.Earlier = earlier.N
	}
	return verdict, nil
}

// openCheckpoint verifies the note and reads its text, whose first line must be the key's name.
func openCheckpoint(path string, verifier note.Verifier) (tlog.Tree, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("the note is no checkpoint of this origin")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, errors.New("the checkpoint's root is no hash")
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

// tileFiles serves tiles of height 8 from the files of a tlog-tiles log. tlog names them tile/8/L/N, files tile/L/N.
type tileFiles struct{ directory string }

func (files tileFiles) Height() int                     { return 8 }
func (files tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (files tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for place, tile := range tiles {
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(files.directory, name))
		if errors.Is(err, os.ErrNotExist) && tile.W < bundleWidth {
			full := tile
			full.W = bundleWidth
			name = strings.Replace(full.Path(), "tile/8/", "tile/", 1)
			data, err = os.ReadFile(filepath.Join(files.directory, name))
			if err == nil && len(data) >= tile.W*tlog.HashSize {
				data = data[:tile.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		found[place] = data
	}
	return found, nil
}

// checkEntries hashes every entry of every bundle: each must be the leaf in the tiles, all together the root.
func checkEntries(directory string, tree tlog.Tree, hashes tlog.HashReader) error {
	var stored []tlog.Hash
	own := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for place, index := range indexes {
			found[place] = stored[index]
		}
		return found, nil
	})
	for start := int64(0); start < tree.N; start += bundleWidth {
		width := min(bundleWidth, tree.N-start)
		entries, err := readBundle(directory, start/bundleWidth, int(width))
		if err != nil {
			return err
		}
		indexes := make([]int64, width)
		for place := range indexes {
			indexes[place] = tlog.StoredHashIndex(0, start+int64(place))
		}
		leaves, err := hashes.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for place, entry := range entries {
			leaf := tlog.RecordHash(entry)
			if leaf != leaves[place] {
				return fmt.Errorf("entry %d is not the leaf in the tiles", start+int64(place))
			}
			more, err := tlog.StoredHashesForRecordHash(start+int64(place), leaf, own)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
		}
	}
	root, err := tlog.TreeHash(tree.N, own)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("the entries do not rebuild the signed root")
	}
	return nil
}

func readBundle(directory string, index int64, width int) ([][]byte, error) {
	path := filepath.Join(directory, strings.Replace(tlog.Tile{H: 8, L: -1, N: index, W: width}.Path(), "tile/8/data/", "tile/entries/", 1))
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	entries := make([][]byte, 0, width)
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("bundle %d is cut short", index)
		}
		length := int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:2+length])
		data = data[2+length:]
	}
	if len(entries) != width {
		return nil, fmt.Errorf("bundle %d holds %d entries instead of %d", index, len(entries), width)
	}
	return entries, nil
}

// checkProofs makes and checks inclusion proofs for the first, the last and many random records.
func checkProofs(tree tlog.Tree, hashes tlog.HashReader) (int, error) {
	if tree.N == 0 {
		return 0, nil
	}
	chosen := []int64{0, tree.N - 1}
	random := rand.New(rand.NewSource(1))
	for len(chosen) < provenRecords {
		chosen = append(chosen, random.Int63n(tree.N))
	}
	for _, index := range chosen {
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return 0, err
		}
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return 0, fmt.Errorf("record %d: %w", index, err)
		}
	}
	return len(chosen), nil
}

func checkConsistency(tree, earlier tlog.Tree, hashes tlog.HashReader) error {
	if earlier.N > tree.N {
		return fmt.Errorf("the log shrank from %d to %d records", earlier.N, tree.N)
	}
	proof, err := tlog.ProveTree(tree.N, earlier.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, earlier.N, earlier.Hash)
}
