// Strangers is a small program around other people's libraries. It judges an audit log without any code of ours, for
// the tests beside it. A command exits with 0 when the libraries accept, 1 when one of them rejects, 2 on wrong usage.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

const usage = `strangers sumdb    LOGDIR VKEY [EARLIER-CHECKPOINT]
strangers fsck     LOGDIR VKEY
strangers cosigned NOTE LOG-VKEY WITNESS-VKEY...
strangers receipt  PROOF ENTRY POLICY
strangers witness  NAME LOG-VKEY
strangers submit   URL OLD-SIZE NOTE [HASH...]
strangers proofs   SIZE`

type command struct {
	least, most int
	run         func(arguments []string) (any, error)
}

var commands = map[string]command{
	"sumdb":    {2, 3, judgeBySumdb},
	"fsck":     {2, 2, judgeByFsck},
	"cosigned": {3, 100, judgeCosignatures},
	"receipt":  {3, 3, judgeReceipt},
	"witness":  {2, 2, serveWitness},
	"submit":   {3, 66, submitCheckpoint},
	"proofs":   {1, 1, makeProofs},
}

func main() {
	arguments := os.Args[min(2, len(os.Args)):]
	chosen, known := command{}, false
	if len(os.Args) > 1 {
		chosen, known = commands[os.Args[1]]
	}
	if !known || len(arguments) < chosen.least || len(arguments) > chosen.most {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	verdict, err := chosen.run(arguments)
	if err != nil {
		fmt.Fprintln(os.Stderr, "rejected:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdict); err != nil {
		os.Exit(2)
	}
}
