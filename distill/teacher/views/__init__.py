"""Teacher features of the crops that student and teacher share."""
