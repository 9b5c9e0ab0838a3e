// Package proc reads what another process has and has used: memory, processor time, descriptors. It needs Linux.
//
//	kib, err := proc.ResidentKiB(pid)     // VmRSS of /proc/<pid>/status
//	used, err := proc.CPUTime(pid)        // the process's clock, precise to the nanosecond
//	n := proc.Descriptors(pid)            // of /proc/<pid>/fd
//
// A figure of the bench and one of the load driver are of one kind because both are read here.
package proc
