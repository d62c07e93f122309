// Command tessera_append adds leaves to a new log of Tessera's POSIX driver. It prints, as JSON, the processor
// time that this took in seconds, the leaves and the root hash of the tree.
//
//	tessera_append FOLDER LEAVES BATCH
//
// FOLDER is the folder of the log. LEAVES is a file in which each leaf follows its length, a big-endian uint16.
// BATCH leaves are added at a time, once those before are in the tree, and on disk.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"syscall"
	"time"

	tlog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const origin = "tessera.benchmark.example"

func main() {
	batch, err := strconv.Atoi(os.Args[3])
	check(err)
	leaves, err := readLeaves(os.Args[2])
	check(err)
	check(run(context.Background(), os.Args[1], leaves, batch))
}

func run(ctx context.Context, folder string, leaves [][]byte, batch int) error {
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(uint(batch), time.Second).
		WithPushback(uint(2 * batch)).
		WithCheckpointInterval(time.Second)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	before := processorTime()
	for start := 0; start < len(leaves); start += batch {
		if err := addAll(ctx, appender, leaves[start:min(start+batch, len(leaves))]); err != nil {
			return err
		}
	}
	spent := processorTime() - before
	if err := shutdown(ctx); err != nil { // publishes the last checkpoint
		return err
	}
	signed, err := reader.ReadCheckpoint(ctx)
	if err != nil {
		return err
	}
	checkpoint, _, _, err := tlog.ParseCheckpoint(signed, origin, verifier)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"seconds": spent.Seconds(),
		"leaves":  checkpoint.Size,
		"root":    base64.StdEncoding.EncodeToString(checkpoint.Hash),
	})
}

// addAll adds leaves, and returns once all are in the tree.
func addAll(ctx context.Context, appender *tessera.Appender, leaves [][]byte) error {
	added := make([]tessera.IndexFuture, 0, len(leaves))
	for _, leaf := range leaves {
		added = append(added, appender.Add(ctx, tessera.NewEntry(leaf)))
	}
	for _, future := range added {
		if _, err := future(); err != nil {
			return err
		}
	}
	return nil
}

func readLeaves(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var leaves [][]byte
	for len(content) > 0 {
		if len(content) < 2 || len(content) < 2+int(binary.BigEndian.Uint16(content)) {
			return nil, fmt.Errorf("%s ends within leaf %d", path, len(leaves))
		}
		end := 2 + int(binary.BigEndian.Uint16(content))
		leaves = append(leaves, content[2:end])
		content = content[end:]
	}
	return leaves, nil
}

// processorTime returns the processor time of this process, in user mode and in the kernel.
func processorTime() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
