package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
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

// These variables are shared by all tests. setUp sets them before the first test starts; after that
// they do not change.
var (
	bed      *testbed.Testbed
	idp      *issuer.Issuer
	browsers = map[clients.BrowserKind]*clients.Browser{}
	sites    = map[cluster.Kind]*site{}
	tokens   = map[string]string{} // each user's ID token, by user name
)

// atEnd is called when all tests have ended. `make soak` prints its table here.
var atEnd = func() {}

func TestMain(m *testing.M) {
	flag.Parse()
	// With 3 tests per core, no core is idle. With more, the clusters answer later and the tests are
	// not faster. Tests that need much CPU also wait for a slot in the
	// channel heavy.
	flag.Set("test.parallel", strconv.Itoa(3*runtime.NumCPU()))
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	// this timeout includes the time for building the programs that the testbed runs
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Minute)
	defer cancel()
	var err error
	wanted := binaries.Clients
	if *nextKubectl {
		wanted = binaries.Next
	}
	if bed, err = testbed.Open(ctx, os.Stderr, wanted); err != nil {
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
		fmt.Fprintf(os.Stderr, "tokens were found in files that must not contain tokens (error: %v):\n%s\n", err, strings.Join(leaks, "\n"))
		return 1
	}
	if err := table.publish(os.Stdout, os.Getenv("EDGE_E2E_RESULTS"), code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if *nextKubectl { // the documents do not have it
		return code
	}
	if err := table.checkDocuments(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// setUp starts the issuer, the browsers and both sites (each a cluster with edge and load
// balancers), and logs all users in.
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
	for _, kind := range []clients.BrowserKind{clients.Chromium, clients.Firefox} {
		if browsers[kind], err = bed.StartBrowser(ctx, kind); err != nil {
			return err
		}
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

// patience is the timeout for everything that a test waits for. It is long enough for a busy
// machine.
const patience = 3 * time.Minute

// heavy has two slots, so at most two of the tests that keep a core busy run at the same time. Such
// a test sends a value to take a slot and receives one to release it.
var heavy = make(chan struct{}, 2)
