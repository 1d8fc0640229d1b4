"""Uploads of images: names (`names`), the list of files (`listing`), their bytes (`content`, `locks`), archives
(`archives`), and the end of an upload (`sealing`)."""
