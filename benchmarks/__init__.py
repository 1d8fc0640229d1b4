"""How fast Limbeck is, measured on the machine at hand and printed with it."""
