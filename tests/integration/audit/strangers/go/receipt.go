package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// Cosignatures and receipts, judged by the formats library of the transparency.dev project.

type cosignedVerdict struct {
	Size  uint64           `json:"size"`
	Times map[string]int64 `json:"times"`
}

// judgeCosignatures demands that the note carries a valid signature by every key named.
func judgeCosignatures(arguments []string) (any, error) {
	raw, err := os.ReadFile(arguments[0])
	if err != nil {
		return nil, err
	}
	logVerifier, err := note.NewVerifier(arguments[1])
	if err != nil {
		return nil, err
	}
	others := make([]note.Verifier, 0, len(arguments))
	for _, vkey := range arguments[2:] {
		verifier, err := f_note.NewVerifierForCosignatureV1(vkey)
		if err != nil {
			return nil, fmt.Errorf("witness key: %w", err)
		}
		others = append(others, verifier)
	}
	checkpoint, _, opened, err := log.ParseCheckpoint(raw, logVerifier.Name(), logVerifier, others...)
	if err != nil {
		return nil, err
	}
	times := map[string]int64{}
	for _, signature := range opened.Sigs {
		if signature.Name == logVerifier.Name() && signature.Hash == logVerifier.KeyHash() {
			continue
		}
		at, err := f_note.CoSigV1Timestamp(signature)
		if err != nil {
			return nil, err
		}
		times[fmt.Sprintf("%s+%08x", signature.Name, signature.Hash)] = at.Unix()
	}
	if len(times) != len(others) {
		return nil, fmt.Errorf("%d of %d keys cosigned", len(times), len(others))
	}
	return cosignedVerdict{checkpoint.Size, times}, nil
}

type receiptVerdict struct {
	Index uint64 `json:"index"`
	Size  uint64 `json:"size"`
}

// judgeReceipt checks a .tlog-proof for the entry in a file, against a policy file: log key, inclusion, quorum.
func judgeReceipt(arguments []string) (any, error) {
	var texts [3][]byte
	for place, path := range arguments {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		texts[place] = raw
	}
	var receipt proof.TLogProof
	if err := receipt.Unmarshal(texts[0]); err != nil {
		return nil, err
	}
	checkpoint, err := openByPolicy(receipt.Checkpoint, texts[2])
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(receipt.Hashes))
	for place := range receipt.Hashes {
		hashes[place] = receipt.Hashes[place][:]
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(texts[1])
	if err := merkle.VerifyInclusion(rfc6962.DefaultHasher, receipt.Index, checkpoint.Size, leaf, hashes, checkpoint.Hash); err != nil {
		return nil, err
	}
	return receiptVerdict{receipt.Index, checkpoint.Size}, nil
}

// openByPolicy accepts a checkpoint signed by one of the policy's logs and cosigned by its quorum. The library reads
// witnesses, groups and quorum; it leaves the log lines to the caller.
func openByPolicy(raw, policy []byte) (*log.Checkpoint, error) {
	quorum, err := witness.ParsePolicy(policy)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	for _, line := range strings.Split(string(policy), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "log" {
			continue
		}
		verifier, err := note.NewVerifier(fields[1])
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		checkpoint, _, _, err := log.ParseCheckpoint(raw, verifier.Name(), verifier)
		if err != nil {
			continue
		}
		if !quorum.Satisfied(raw) {
			return nil, errors.New("the quorum of witnesses is not met")
		}
		return checkpoint, nil
	}
	return nil, errors.New("no log of the policy signed this checkpoint")
}
