package main

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	client "github.com/transparency-dev/witness/client/http"
	"github.com/transparency-dev/witness/witness"
)

// The transparency.dev project's witness client, for our own witness to answer. The hashes of the proof are base64.

type submission struct {
	Lines string `json:"lines"`
	Known uint64 `json:"known"`
}

func submitCheckpoint(arguments []string) (any, error) {
	address, err := url.Parse(arguments[0])
	if err != nil {
		return nil, err
	}
	oldSize, err := strconv.ParseUint(arguments[1], 10, 64)
	if err != nil {
		return nil, err
	}
	note, err := os.ReadFile(arguments[2])
	if err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, encoded := range arguments[3:] {
		hash, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	lines, known, err := client.NewWitness(address, http.DefaultClient).Update(ctx, oldSize, note, hashes)
	if err != nil && !errors.Is(err, witness.ErrCheckpointStale) {
		return nil, err
	}
	return submission{string(lines), known}, nil
}
