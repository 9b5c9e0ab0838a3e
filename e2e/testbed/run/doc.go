// Package run manages one run of the testbed: its state folder, the processes that it starts, and
// the list of what must be undone at its end. All other packages of the testbed use it.
//
//	port, err := run.FreePort()
//	process, err := run.Spawn(r.Dir, "etcd", argv)             // its output is in <dir>/etcd.log
//	r.OnClose(process.Kill)
//	err = run.Until(ctx, run.StartupTime, "etcd", probe, process)
//
// Several runs can exist at the same time. Each run picks free ports, has an address of its own, puts
// its id into the names of cables and cgroups, and keeps everything else in its state folder.
//
// The package also records the tokens that tests use. Run.Leaks searches the run's files for these
// tokens. The package starts nothing on its own and does not depend on what the programs are for.
package run
