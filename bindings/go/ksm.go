// SPDX-License-Identifier: Apache-2.0

package nestvirt

/*
#include "abi.h"
*/
import "C"

import (
	"runtime"
)

// KSMSettings are those of the kernel's thread that merges equal pages, for the whole host. The kernel's own words for
// them are in its documentation, admin-guide/mm/ksm.
type KSMSettings struct {
	Flags            KSMSetting // which of the fields count, or are known to this kernel
	Run              KSMRunMode
	PagesToScan      uint32 // pages between two sleeps, from 1; not while an advisor is on
	SleepMs          uint32 // milliseconds
	MergeAcrossNodes bool   // can only change while no page is merged
	UseZeroPages     bool   // empty pages become the kernel's zero page
	MaxPageSharing   uint32 // of one page, from 2; as MergeAcrossNodes
	SmartScan        bool   // Linux 6.7
	AdvisorMode      KSMAdvisor
	AdvisorMaxCPU    uint32 // percent of a CPU, 1 to 100
	AdvisorMinPages  uint32 // least PagesToScan, from 1
	AdvisorMaxPages  uint32 // most
	AdvisorTargetS   uint32 // seconds for all pages, from 1
}

// KSMStats are figures of the whole host, in pages of 4096 bytes.
type KSMStats struct {
	Flags         KSMStatsFlag // which this kernel counts
	PagesShared   uint64       // merged pages that exist
	PagesSharing  uint64       // places more that use them: what is saved
	PagesUnshared uint64       // looked at again and again, and unique
	PagesVolatile uint64       // changing too fast
	FullScans     uint64       // of all memory that takes part
	PagesScanned  uint64
	PagesSkipped  uint64 // by SmartScan
	ZeroPages     uint64 // places that use the kernel's zero page, with UseZeroPages
	GeneralProfit int64  // bytes saved less those that KSM itself takes
}

// ReadKSMSettings reads the host's settings. Flags tells which this kernel has. syscall.ENOTSUP without KSM.
func ReadKSMSettings() (KSMSettings, error) {
	if err := load(); err != nil {
		return KSMSettings{}, err
	}
	var c C.struct_nestvirt_ksm_settings
	C.go_nestvirt_ksm_settings_init(&c, C.sizeof_struct_nestvirt_ksm_settings)
	var detail *cError
	r := C.go_nestvirt_ksm_get_settings(&c, &detail)
	if err := check("nestvirt_ksm_get_settings", r, detail); err != nil {
		return KSMSettings{}, err
	}
	return KSMSettings{
		Flags: KSMSetting(c.flags), Run: KSMRunMode(c.run), PagesToScan: uint32(c.pages_to_scan),
		SleepMs: uint32(c.sleep_ms), MergeAcrossNodes: c.merge_across_nodes != 0, UseZeroPages: c.use_zero_pages != 0,
		MaxPageSharing: uint32(c.max_page_sharing), SmartScan: c.smart_scan != 0,
		AdvisorMode: KSMAdvisor(c.advisor_mode), AdvisorMaxCPU: uint32(c.advisor_max_cpu),
		AdvisorMinPages: uint32(c.advisor_min_pages), AdvisorMaxPages: uint32(c.advisor_max_pages),
		AdvisorTargetS: uint32(c.advisor_target_s),
	}, nil
}

// ReadKSMStats reads the host's figures. syscall.ENOTSUP without KSM.
func ReadKSMStats() (KSMStats, error) {
	if err := load(); err != nil {
		return KSMStats{}, err
	}
	var c C.struct_nestvirt_ksm_stats
	C.go_nestvirt_ksm_stats_init(&c, C.sizeof_struct_nestvirt_ksm_stats)
	var detail *cError
	if err := check("nestvirt_ksm_get_stats", C.go_nestvirt_ksm_get_stats(&c, &detail), detail); err != nil {
		return KSMStats{}, err
	}
	return KSMStats{
		Flags: KSMStatsFlag(c.flags), PagesShared: uint64(c.pages_shared), PagesSharing: uint64(c.pages_sharing),
		PagesUnshared: uint64(c.pages_unshared), PagesVolatile: uint64(c.pages_volatile),
		FullScans: uint64(c.full_scans), PagesScanned: uint64(c.pages_scanned), PagesSkipped: uint64(c.pages_skipped),
		ZeroPages: uint64(c.zero_pages), GeneralProfit: int64(c.general_profit),
	}, nil
}

// KSMToken is a hold on settings of the host that were changed. Close puts them back. The garbage collector does not:
// whoever forgets a token leaves them changed until the program ends, and RemoveKSMRecord is called.
type KSMToken struct {
	handle handle
	c      *C.struct_nestvirt_ksm_token
}

// SetKSMSettings changes settings of the host until the token is closed; Flags says which fields count. Before the
// first of them is changed, a record of the former ones is on the disk, so that RemoveKSMRecord can put them back when
// this program has died.
//
// Record is the path of it, "" for /run/nestvirt-ksm. All programs of a host should use the same. KSMUnmerge returns
// when all is unmerged, which may take seconds. Errors: syscall.EBUSY, another program holds the record; ESTALE, a
// program that died has left one; EACCES, EPERM or EROFS, not permitted (only root is); ENOTSUP; EINVAL.
func SetKSMSettings(settings KSMSettings, record string) (*KSMToken, error) {
	if settings.Flags == 0 {
		return nil, invalid("KSMSettings.Flags", "is 0, so that no field counts; set the bits of those that do")
	}
	if err := load(); err != nil {
		return nil, err
	}
	path, err := text("record", record)
	if err != nil {
		return nil, err
	}
	defer free(path)
	c := settings.c()
	token := &KSMToken{}
	var detail *cError
	r := C.go_nestvirt_ksm_set_settings(&c, path, &token.c, &detail)
	if err := check("nestvirt_ksm_set_settings", r, detail); err != nil {
		return nil, err
	}
	return token, nil
}

func (settings KSMSettings) c() (c C.struct_nestvirt_ksm_settings) {
	C.go_nestvirt_ksm_settings_init(&c, C.sizeof_struct_nestvirt_ksm_settings)
	c.flags = C.uint32_t(settings.Flags)
	c.run = C.uint32_t(settings.Run)
	c.pages_to_scan = C.uint32_t(settings.PagesToScan)
	c.sleep_ms = C.uint32_t(settings.SleepMs)
	c.merge_across_nodes = bit(settings.MergeAcrossNodes)
	c.use_zero_pages = bit(settings.UseZeroPages)
	c.max_page_sharing = C.uint32_t(settings.MaxPageSharing)
	c.smart_scan = bit(settings.SmartScan)
	c.advisor_mode = C.uint32_t(settings.AdvisorMode)
	c.advisor_max_cpu = C.uint32_t(settings.AdvisorMaxCPU)
	c.advisor_min_pages = C.uint32_t(settings.AdvisorMinPages)
	c.advisor_max_pages = C.uint32_t(settings.AdvisorMaxPages)
	c.advisor_target_s = C.uint32_t(settings.AdvisorTargetS)
	return c
}

func bit(value bool) C.uint32_t {
	if value {
		return 1
	}
	return 0
}

// Close puts back the settings that were changed for this token and removes the record. If one could not be put back,
// the others are, and the call can be repeated. Closing it again after that does nothing.
func (t *KSMToken) Close() error {
	defer runtime.KeepAlive(t)
	if t == nil || !t.handle.shut() {
		return nil
	}
	if err := check("nestvirt_ksm_token_free", C.go_nestvirt_ksm_token_free(t.c), nil); err != nil {
		t.handle.open()
		return err
	}
	return nil
}

// RemoveKSMRecord puts back what a program changed that died before it could, and removes its record; false if there
// was nothing to do. Record is that of SetKSMSettings. syscall.EBUSY while the record's owner lives.
func RemoveKSMRecord(record string) (bool, error) {
	if err := load(); err != nil {
		return false, err
	}
	path, err := text("record", record)
	if err != nil {
		return false, err
	}
	defer free(path)
	var detail *cError
	r := C.go_nestvirt_ksm_remove_record(path, &detail)
	return r == 1, check("nestvirt_ksm_remove_record", r, detail)
}
