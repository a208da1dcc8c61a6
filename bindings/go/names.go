// SPDX-License-Identifier: Apache-2.0

package nestvirt

import (
	"fmt"
	"strings"
)

// A name is a word for one value of a constant's type.
type name struct {
	value int64
	word  string
}

// Word is the name of a value, its number if a newer library made it.
func word(names []name, value int64) string {
	for _, one := range names {
		if one.value == value {
			return one.word
		}
	}
	return fmt.Sprintf("unknown %d", value)
}

// Bits are the names of the bits of a value, with "|" between them.
func bits(names []name, value int64) string {
	var words []string
	for _, one := range names {
		if value&one.value != 0 {
			words = append(words, one.word)
			value &^= one.value
		}
	}
	if value != 0 {
		words = append(words, fmt.Sprintf("%#x", value))
	}
	if len(words) == 0 {
		return "0"
	}
	return strings.Join(words, "|")
}
