// Package run is what everything that is started in one run of the testbed stands on: its state folder, its processes, and
// what has to be undone at its end.
//
//	port, err := run.FreePort()
//	process, err := run.Spawn(r.Dir, "etcd", argv)             // its output is in <dir>/etcd.log
//	r.OnClose(process.Kill)
//	err = run.Until(ctx, run.StartupTime, "etcd", probe, process)
//
// Several runs at once do not meet: ports are picked free, names carry the run's id, everything else is in its folder.
//
// It also keeps what tokens were handed out, and finds the files of the run in which one stands that should not
// (Run.Leaks). It starts nothing by itself and does not know what the programs are for.
package run
