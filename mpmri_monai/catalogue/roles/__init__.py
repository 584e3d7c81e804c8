"""Which volume is which sequence: protocols, site rules, conditions, phases of contrast."""
