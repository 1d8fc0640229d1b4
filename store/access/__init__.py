"""Who may do what: principals, their resources, their limits, and the record of what they changed."""
