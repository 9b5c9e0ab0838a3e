package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"edge/internal/proc"
)

// machine describes the machine and the Go version of a measurement.
type machine struct {
	Cores      int    `json:"cores"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	Model      string `json:"model"`
	MemoryKiB  int64  `json:"memoryKiB"`
	Kernel     string `json:"kernel"`
	HugePages  string `json:"transparentHugePages"` // setting of transparent huge pages; "always" makes the resident memory of a Go process larger
	Go         string `json:"go"`
}

// describeMachine reads the description from /proc and /sys. Fields that it cannot read are empty.
func describeMachine() machine {
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	meminfo, _ := os.ReadFile("/proc/meminfo")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	huge, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	model, _ := proc.Field(string(cpuinfo), "model name")
	memory, _ := proc.KiB(string(meminfo), "MemTotal")
	return machine{
		Cores:      runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		Model:      model,
		MemoryKiB:  memory,
		Kernel:     strings.TrimSpace(string(kernel)),
		HugePages:  bracketed(string(huge)),
		Go:         runtime.Version(),
	}
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores (GOMAXPROCS %d) %s, %d MiB, Linux %s, huge pages %s, %s", m.Cores, m.GOMAXPROCS,
		m.Model, m.MemoryKiB>>10, m.Kernel, m.HugePages, m.Go)
}

// bracketed returns the word in brackets of a list like "always [madvise] never".
func bracketed(text string) string {
	_, rest, _ := strings.Cut(text, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}
