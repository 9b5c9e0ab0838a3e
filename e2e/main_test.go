package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// What all tests share. TestMain fills it before the first test and nobody changes it after.
var (
	bed     *testbed.Testbed
	idp     *issuer.Issuer
	browser *clients.Browser
	sites   = map[cluster.Kind]*site{}
	tokens  = map[string]string{} // by user
)

// atEnd is called when all tests have ended.
var atEnd = func() {}

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait for something. What is heavy takes a turn of its own, see heavy.
	flag.Set("test.parallel", "32")
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Minute) // cold builds included
	defer cancel()
	var err error
	if bed, err = testbed.Open(ctx, os.Stderr, binaries.Clients); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer bed.Close()
	defer bed.CloseOnSignal()()
	defer startPages()()
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	atEnd()
	if leaks, err := bed.Leaks(); err != nil || len(leaks) > 0 {
		fmt.Fprintf(os.Stderr, "tokens were written down: %v\n%s\n", err, strings.Join(leaks, "\n"))
		return 1
	}
	if err := table.publish(os.Stdout, os.Getenv("EDGE_E2E_RESULTS"), code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := table.checkDocuments(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// setUp starts the issuer, both sites, and logs everybody in.
func setUp(ctx context.Context) error {
	var err error
	if idp, err = bed.StartIssuer(ctx); err != nil {
		return err
	}
	for _, user := range issuer.Users {
		if tokens[user.Name], err = idp.Login(ctx, user.Name); err != nil {
			return err
		}
	}
	if browser, err = bed.StartBrowser(ctx); err != nil {
		return err
	}
	if err := makeBlobs(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	kinds := []cluster.Kind{cluster.New, cluster.Old}
	started, errs := make([]*site, len(kinds)), make([]error, len(kinds))
	for i, kind := range kinds {
		wg.Go(func() { started[i], errs[i] = startSite(ctx, kind) })
	}
	wg.Wait()
	for i, kind := range kinds {
		if errs[i] != nil {
			return errs[i]
		}
		sites[kind] = started[i]
	}
	return nil
}

// patience bounds every wait for something that must happen, on a machine that has other things to do.
const patience = 3 * time.Minute

// heavy has a place for what keeps a core busy, so that the two cores of a small machine are not shared by twenty.
var heavy = make(chan struct{}, 2)
