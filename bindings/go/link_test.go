// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"debug/elf"
	"os"
	"strings"
	"testing"
)

// A program with this package loads without the library: it is neither needed nor are its symbols looked for.
func TestProgramLoadsWithoutLibrary(t *testing.T) {
	program, err := elf.Open("/proc/self/exe")
	must(t, err)
	defer program.Close()
	needed, err := program.ImportedLibraries()
	must(t, err)
	for _, name := range needed {
		if strings.Contains(name, "nestvirt") {
			t.Errorf("%s needs %s", os.Args[0], name)
		}
	}
	symbols, err := program.ImportedSymbols()
	must(t, err)
	for _, symbol := range symbols {
		if strings.HasPrefix(symbol.Name, "nestvirt_") {
			t.Errorf("%s looks for %s", os.Args[0], symbol.Name)
		}
	}
	if len(needed) == 0 || len(symbols) == 0 {
		t.Error("nothing is imported at all: this test looks at the wrong place")
	}
}
