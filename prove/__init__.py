"""Campaigns against our own promises: kills, power cuts, wrong clocks, failing disks, planted bugs (``make prove``)."""
