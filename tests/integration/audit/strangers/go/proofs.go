package main

import (
	"encoding/binary"
	"strconv"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// Proofs made by transparency.dev's reference tree, for our own checks to accept: every inclusion and consistency
// proof of a tree of the size given, whose entry i is i as eight big-endian bytes.

type inclusionProof struct {
	Index  uint64   `json:"index"`
	Hashes [][]byte `json:"hashes"`
}

type consistencyProof struct {
	First  uint64   `json:"first"`
	Root   []byte   `json:"root"`
	Hashes [][]byte `json:"hashes"`
}

type allProofs struct {
	Root        []byte             `json:"root"`
	Inclusion   []inclusionProof   `json:"inclusion"`
	Consistency []consistencyProof `json:"consistency"`
}

func makeProofs(arguments []string) (any, error) {
	size, err := strconv.ParseUint(arguments[0], 10, 16)
	if err != nil {
		return nil, err
	}
	tree := testonly.New(rfc6962.DefaultHasher)
	for index := range size {
		tree.AppendData(binary.BigEndian.AppendUint64(nil, index))
	}
	made := allProofs{Root: tree.Hash()}
	for index := range size {
		hashes, err := tree.InclusionProof(index, size)
		if err != nil {
			return nil, err
		}
		made.Inclusion = append(made.Inclusion, inclusionProof{index, hashes})
	}
	for first := uint64(1); first <= size; first++ {
		hashes, err := tree.ConsistencyProof(first, size)
		if err != nil {
			return nil, err
		}
		made.Consistency = append(made.Consistency, consistencyProof{first, tree.HashAt(first), hashes})
	}
	return made, nil
}
