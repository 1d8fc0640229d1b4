"""Time and memory of datasets with millions of images, from the folder to the plan of a job."""
