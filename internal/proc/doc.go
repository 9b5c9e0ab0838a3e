// Package proc reads the memory, the CPU time and the number of open file descriptors of another
// process. It needs Linux.
//
//	kib, err := proc.ResidentKiB(pid)     // VmRSS of /proc/<pid>/status
//	used, err := proc.CPUTime(pid)        // the process's CPU clock, in ns
//	n := proc.Descriptors(pid)            // the size of /proc/<pid>/fd
//
// The benchmarks (bench) and the load driver (loadtest) both use it, so their figures can be
// compared.
package proc
