// Command cdevents reads one CDEvent from standard input with the Go SDK of CDEvents, and validates it. It exits
// with 1 and prints the reason if the SDK refuses the event.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/cdevents/sdk-go/pkg/api"
	"github.com/cdevents/sdk-go/pkg/api/v05"
)

func main() {
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check reads one event: the SDK reads events of one type into the same value, so a second one could have fields
// of the first.
func check(input io.Reader) error {
	document, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	event, err := v05.NewFromJsonBytes(document)
	if err != nil {
		return err
	}
	return api.Validate(event)
}
