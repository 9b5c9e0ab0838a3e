// Command stress runs the tests of both modules many times on a busy machine, to find tests that
// fail only sometimes.
//
//	make stress                                       # up to 30 rounds in 90 minutes
//	STRESS=20m make stress                            # 20 minutes; the next run continues
//	make stress STRESSFLAGS=--only=edge/bridge        # one package and those below it
//	make stress STRESSFLAGS=--list                    # prints the results of earlier runs
//
// In a round, the tests of every package run once at each of -cpu 1, 2 and 4, in a shuffled order
// and with the race detector, with -short and -parallel=8. The end-to-end tests in endtoend.go run
// once per round. As many packages run at a time as there are cores, together with two busy loops.
// The package with the fewest runs goes first, so that all packages have a similar number of rounds
// when the budget ends. Then no run starts any more, but the runs that have started finish.
//
// The results of a package are stored in the testbed's cache, in stress/, under the digest of the
// package's test binary. For the end-to-end tests the digest includes edge's binary. A package
// whose code did not change continues from its stored rounds and is done after 30 rounds. A package
// whose code changed starts again. Files that a test reads at run time, such as testdata, are not
// part of the digest. A failure counts as long as the digest is the same: only a new binary, or
// --forget, makes a later run succeed.
//
// The command prints a table at the end and exits with 1 if a test failed. Ctrl-C stops the command
// and the tests that it started; finished runs stay stored.
//
// The command is in this module because it builds and runs both modules; it imports nothing of
// edge. The end-to-end tests have the requirements of `make e2e`; --unit skips them.
package main
