// SPDX-License-Identifier: Apache-2.0

//go:build race

package nestvirt

// IsRace tells whether the race detector looks at each byte that Go copies.
const isRace = true
