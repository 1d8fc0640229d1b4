"""Where the bytes of an image lie: in a file, in a shard, or in a row of a Parquet or Arrow file."""
