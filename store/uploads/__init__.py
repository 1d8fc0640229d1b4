"""Uploads: their rows and quota (`uploads`), where their files lie (`places`), and their removal (`upkeep`)."""
