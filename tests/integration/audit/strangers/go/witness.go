package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

// A witness by the transparency.dev project, in memory, on a loopback port of its own. It prints its verifier key and
// its address, one a line, then serves until SIGTERM.

func serveWitness(arguments []string) (any, error) {
	name := arguments[0]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, err
	}
	vkey, err := f_note.VKeyToCosignatureV1(public)
	if err != nil {
		return nil, err
	}
	signer, err := f_note.NewSignerForCosignatureV1(secret)
	if err != nil {
		return nil, err
	}
	logVerifier, err := note.NewVerifier(arguments[1])
	if err != nil {
		return nil, err
	}
	judge, err := witness.New(ctx, witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return logVerifier, origin == logVerifier.Name(), nil
		},
	})
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(judge).AddCheckpoint)
	origin := logVerifier.Name()
	routes.HandleFunc(fmt.Sprintf("GET /%x/checkpoint", sha256.Sum256([]byte(origin))), newest(judge, origin))
	return map[string]string{"stopped": name}, serve(ctx, vkey, routes)
}

// newest answers with the newest checkpoint cosigned; the library keeps it but serves no monitoring interface.
func newest(judge *witness.Witness, origin string) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		raw, err := judge.GetCheckpoint(request.Context(), origin)
		if err != nil || raw == nil {
			http.NotFound(response, request)
			return
		}
		_, _ = response.Write(raw)
	}
}

func serve(ctx context.Context, vkey string, routes http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes}
	fmt.Println(vkey)
	fmt.Printf("http://%s\n", listener.Addr())
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
