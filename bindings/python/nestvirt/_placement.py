# SPDX-License-Identifier: Apache-2.0
"""Owns where a VM's threads run: CPUs, policies, control groups, privileges."""

from ._base import VMBase


class PlacementMixin(VMBase):
    """What a VM can say about its threads."""
