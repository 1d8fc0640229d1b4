"""Image files: which kinds are read (`kinds`), the one decoder (`decode`), their names as text (`file_names`), how an
image is shown (`properties`), and the report of a dataset (`dataset_report`, on a terminal `report_text`)."""
