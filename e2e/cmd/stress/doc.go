// Command stress runs the tests of both modules again and again on a busy machine, to find those that fail now and then.
//
//	make stress                                       # 30 rounds, or 90 minutes of them
//	STRESS=20m make stress                            # less; the next run goes on where this one was
//	make stress STRESSFLAGS=--only=edge/bridge        # one package, and those below
//	make stress STRESSFLAGS=--list                    # what is kept of earlier runs
//
// In a round every package runs once at each of -cpu 1, 2 and 4, in a shuffled order and with the race detector, and the
// end-to-end tests of endtoend.go once. As many packages run at a time as there are cores, beside two busy loops. The run
// that has had the fewest rounds goes first, so that all packages have about as many when the budget ends. Nothing starts
// after that; what runs then runs to its end.
//
// A package's runs are kept in the testbed's cache, in stress/, under the digest of its test binary; of edge's own as well for
// the end-to-end tests. A package whose code did not change goes on where it was, and is done after 30 rounds; one that did
// change starts anew. What a test reads at run time, as testdata, is not in the digest. A failure counts as long as its
// binary is the same: only another binary, or --forget, makes a later run succeed.
//
// It ends with a table, and with 1 if a test failed. Ctrl-C ends it, and what it started, and keeps what has been run.
//
// It is in this module, and not a room of edge's, because it builds and runs both modules; it imports nothing of edge. The
// end-to-end tests need what `make e2e` needs; --unit leaves them out.
package main
