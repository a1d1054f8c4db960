// Arrow Go's Flight SQL client, over the unix socket: one line of JSON per check.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

var errNotOffered = errors.New("the client has no such thing")

type check struct {
	name string
	run  func() error
}

func env(name string) string { return os.Getenv(name) }

func sqlText(name string) string { return env("SQL_" + name) }

func expect(found, wanted any) error {
	if fmt.Sprint(found) != fmt.Sprint(wanted) {
		return fmt.Errorf("expected %v, found %v", wanted, found)
	}
	return nil
}

func refused(err error, sentence string) error {
	if err == nil {
		return fmt.Errorf("expected a refusal with %q, found none", sentence)
	}
	if !strings.Contains(err.Error(), sentence) {
		return fmt.Errorf("expected %q in: %v", sentence, err)
	}
	return nil
}

// wanted tells which checks to make: all, unless some are named.
func wanted(name string) bool {
	return env("ENCLAVE_CHECKS") == "" || slices.Contains(strings.Split(env("ENCLAVE_CHECKS"), "|"), name)
}

func report(item check) {
	started := time.Now()
	err := item.run()
	result, trouble := "yes", ""
	if errors.Is(err, errNotOffered) {
		result = "not-offered"
	} else if err != nil {
		result, trouble = "no", err.Error()
	}
	// The names in this order, because the reader looks for lines that begin with them.
	line, _ := json.Marshal(struct {
		Check   string  `json:"check"`
		Result  string  `json:"result"`
		Seconds float64 `json:"seconds"`
		Trouble string  `json:"trouble"`
	}{item.name, result, time.Since(started).Seconds(), trouble})
	fmt.Println(string(line))
}
