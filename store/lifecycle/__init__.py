"""The life cycle of jobs: transitions of parts, and the result that a job publishes when its last part ends."""
