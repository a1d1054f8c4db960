package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"k8s.io/klog/v2"
)

// Tessera's own check of a whole log. Its command prints a failure but exits with 0, hence the library.

const (
	workers = 16
	limit   = 100 * time.Second
)

type fsckVerdict struct {
	Size uint64 `json:"size"`
	Root string `json:"root"`
}

func judgeByFsck(arguments []string) (any, error) {
	quiet := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(quiet)
	_ = quiet.Set("stderrthreshold", "ERROR")
	verifier, err := f_note.NewVerifier(arguments[1])
	if err != nil {
		return nil, err
	}
	files := client.FileFetcher{Root: arguments[0]}
	ctx := context.Background()
	if err := checkInTime(ctx, fsck.New(verifier.Name(), verifier, files, hashBundle, fsck.Opts{N: workers})); err != nil {
		return nil, err
	}
	raw, err := files.ReadCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	checkpoint, _, _, err := log.ParseCheckpoint(raw, verifier.Name(), verifier)
	if err != nil {
		return nil, err
	}
	return fsckVerdict{checkpoint.Size, base64.StdEncoding.EncodeToString(checkpoint.Hash)}, nil
}

// checkInTime ends a check that cannot end by itself: each wrong tile costs a worker, and without one it waits for ever.
func checkInTime(ctx context.Context, check *fsck.Fsck) error {
	done := make(chan error, 1)
	go func() { done <- check.Check(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return errors.New("fsck did not come to an end")
	}
}

func hashBundle(data []byte) ([][]byte, error) {
	bundle := &api.EntryBundle{}
	if err := bundle.UnmarshalText(data); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	hashes := make([][]byte, len(bundle.Entries))
	for place, entry := range bundle.Entries {
		hashes[place] = rfc6962.DefaultHasher.HashLeaf(entry)
	}
	return hashes, nil
}
